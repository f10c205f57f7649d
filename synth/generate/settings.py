"""What `synth generate` is asked for: which images (Wanted), what each depends on (Settings), and how they are computed
(Resources).
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from curate.foundation import model_names
from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings
from curate.workers.settings import WorkerSettings

MANNEQUIN = "mannequin"  # our renderer: people of simple shapes, posed by data/poses.yaml; needs no weights
AUGMENT = "augment"  # real images of a draw, randomly cropped, turned and recoloured; needs no weights
WITHOUT_WEIGHTS = (MANNEQUIN, AUGMENT)
RENDERER: Final = "renderer"  # skeletons of our mannequins
KEYPOINTS: Final = "keypoints"  # those of real images (skeletons.py)


def _all(names: tuple[str, ...]) -> tuple[str, ...]:
    return () if names == ("all",) else names


@settings
class Wanted:
    """Which images. Raises UsageError for what makes no sense."""

    classes: Annotated[  # labels of the collection, or names of their poses; none: all
        tuple[str, ...], AfterValidator(_all), option("Labels of the classes, all if empty.", such_as="tree,plank")
    ] = ()
    per_class: Annotated[int, option("Number of images of each class, those that are there included.", ge=1)] = 20
    from_draw: Annotated[  # as `sources.FromDraw.parse` reads it
        str, option("Real images to make them from: of a draw such as split=0,shots=6, or pool for all.")
    ] = ""

    def __post_init__(self) -> None:
        if self.from_draw:
            from synth.generate import sources

            sources.FromDraw.parse(self.from_draw)


@settings
class Settings:
    """What an image depends on, beside its class and its number. None and "" mean: what suits the pipeline, by
    inspection of it. Raises UsageError for what makes no sense.
    """

    model: Annotated[
        str, option("Diffusers model (hub id or local directory), or mannequin or augment, which need none.")
    ]
    strength: Annotated[  # 0 leaves the image as it is, 1 uses its noise alone
        float, option("Distance from the real image of --from-draw, up to 1.", gt=0, le=1)
    ] = 0.6
    controlnet: Annotated[str, option("ControlNet for skeletons (hub id or local directory).")] = ""
    controlnet_scale: Annotated[float, option("Weight of the skeleton.")] = 1.0
    control: Annotated[
        Literal["renderer", "keypoints"],
        option(
            "Where the skeletons come from: our renderer, or the people in the photographs, of each class its own "
            "(as curate pose finds them; COLLECTION/keypoints.jsonl, if it is there)."
        ),
    ] = RENDERER
    lora: Annotated[str, option("LoRA weights (.safetensors file, hub id or local directory).")] = ""
    lora_scale: Annotated[float, option("Weight of the LoRA.")] = 1.0
    ip_adapter: Annotated[str, option("IP-Adapter (as --lora); its image is the real one of --from-draw.")] = ""
    ip_adapter_scale: Annotated[float, option("Weight of that image.")] = 0.6
    steps: Annotated[int | None, option("Number of denoising steps; what suits the model unless said.", ge=1)] = None
    guidance: Annotated[float | None, option("Guidance scale; what suits the model unless said.")] = None
    width: Annotated[int | None, Field(ge=1, multiple_of=8)] = None  # pixels
    height: Annotated[int | None, Field(ge=1, multiple_of=8)] = None
    scheduler: Annotated[str, option("Scheduler, a class of diffusers; the model's own unless said.")] = ""
    negative: Annotated[str | None, option("Negative prompt; the grammar's unless said.")] = None
    grammar: Annotated[str, option("File of prompts like data/synthetic_prompts.yaml.")] = ""
    seed: Annotated[int, option("Seed: another one, other images.")] = 0
    format: Annotated[Literal["png", "jpeg"], option("Format of the files.")] = "png"
    revision: Annotated[str, option("Commit, branch or tag of a hub id.")] = ""
    variant: Annotated[str, option("Variant of its files, such as fp16.")] = ""

    def __post_init__(self) -> None:
        if self.control != RENDERER and not self.controlnet:
            raise UsageError(f"--control {self.control} says what a ControlNet is shown; name one with --controlnet")
        if self.model in WITHOUT_WEIGHTS and (self.controlnet or self.lora or self.ip_adapter):
            raise UsageError(f"--model {self.model} takes no ControlNet, LoRA or IP-Adapter")

    def digest(self, model: str) -> str:
        """8 hex digits over these settings and `model`, the digest of the weights."""
        told = json.dumps([asdict(self), model], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]


@settings
class Resources:
    """With what images are made, which changes none of them. Raises UsageError for what makes no sense."""

    device: Annotated[
        str,
        AfterValidator(model_names.device),
        option("Device that computes: auto, cpu, cuda (all cards), cuda:1, ..."),
    ] = "auto"
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], option("Numbers that are computed with.")] = (
        "auto"
    )
    batch: Annotated[int | None, option("Number of images at once; what fits unless said.", ge=1)] = None
    compile: Annotated[bool, option("Compile the model: minutes at the beginning, faster afterwards.")] = False
    workers: WorkerSettings = WorkerSettings()
