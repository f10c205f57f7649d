"""What a generated image depends on, beside its class and its number."""

import hashlib
import json
from dataclasses import asdict, dataclass

from curate.foundation.errors import UsageError

MANNEQUIN = "mannequin"  # our renderer: people of simple shapes, posed by data/poses.yaml; needs no weights
AUGMENT = "augment"  # real images of a draw, randomly cropped, turned and recoloured; needs no weights
WITHOUT_WEIGHTS = (MANNEQUIN, AUGMENT)
RENDERER = "renderer"  # skeletons of our mannequins
KEYPOINTS = "keypoints"  # those of real images, from keypoints.jsonl of the collection (synth/generate/control.py)
CONTROLS = (RENDERER, KEYPOINTS)


@dataclass(frozen=True)
class Settings:
    """None and "" mean: what suits the pipeline, by inspection of it. Raises UsageError for what makes no sense."""

    model: str  # hub id, local directory, or one of WITHOUT_WEIGHTS
    revision: str = ""
    variant: str = ""  # of the files of a hub repository: fp16
    controlnet: str = ""  # hub id or local directory
    controlnet_scale: float = 1.0
    control: str = RENDERER  # where the skeletons come from, one of CONTROLS
    lora: str = ""  # a .safetensors file, a hub id or a local directory
    lora_scale: float = 1.0
    ip_adapter: str = ""  # as lora; the real image of a draw is its image, too
    ip_adapter_scale: float = 0.6
    strength: float = 0.6  # of image to image: 0 leaves the image as it is, 1 uses its noise alone
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None  # pixels
    height: int | None = None
    scheduler: str = ""  # a class of diffusers
    grammar: str = ""  # a file as data/synthetic_prompts.yaml
    negative: str | None = None  # None: the grammar's
    format: str = "png"  # png or jpeg
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "width", "height"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, not {value}")
        for name in ("width", "height"):
            value = getattr(self, name)
            if value is not None and value % 8:
                raise UsageError(f"--{name} must be a multiple of 8, not {value}")
        if not 0 < self.strength <= 1:
            raise UsageError(f"--strength must be above 0 and at most 1, not {self.strength}")
        if self.control not in CONTROLS:
            raise UsageError(f"--control must be {' or '.join(CONTROLS)}, not {self.control}")
        if self.control != RENDERER and not self.controlnet:
            raise UsageError(f"--control {self.control} says what a ControlNet is shown; name one with --controlnet")
        if self.format not in ("png", "jpeg"):
            raise UsageError(f"--format must be png or jpeg, not {self.format}")
        if self.model in WITHOUT_WEIGHTS and (self.controlnet or self.lora or self.ip_adapter):
            raise UsageError(f"--model {self.model} takes no ControlNet, LoRA or IP-Adapter")

    def digest(self, model: str) -> str:
        """8 hex digits over these settings and `model`, the digest of the weights."""
        told = json.dumps([asdict(self), model], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]
