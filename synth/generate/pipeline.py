"""Images from a model of diffusers: text to image, image to image, each also conditioned on skeletons.

One image, however it is made
    Its noise comes from a CPU generator of its own, seeded by its job; nothing that is drawn for one image depends on
    another, on the batch or on the device. What remains is arithmetic: libraries multiply batches of different sizes in
    different orders. BATCH_TOLERANCE says how much of that may be seen.

Schedulers
    One that draws noise without these generators is refused.
"""

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.quiet import quiet
from curate.models.clip_models import choose_device, has_native_bf16
from synth.generate import adapters, control, library, sources
from synth.generate.batches import Batches, first_guess, is_lack_of_memory
from synth.generate.defaults import CONSISTENCY, Choice, choose, denoiser
from synth.generate.files import Files, all_of, weights
from synth.generate.image_job import ImageJob, Made
from synth.generate.settings import Settings
from synth.generate.texts import Texts

__all__ = ["BATCH_TOLERANCE", "Diffusion", "load", "weights"]

# The most that any 8-bit value of an image may differ between alone and in a batch, in fp32 on one machine. Measured
# on tiny pipelines of all kinds (tests/synth/generate/test_pipeline.py): 0 or 1. In bf16 and fp16 on a GPU it is more,
# and a GPU of another kind gives another image of the same scene.
BATCH_TOLERANCE = 1

KINDS = ("text", "image")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_UNSEEDED = ("DPMSolverSDEScheduler",)  # its noise is torchsde's, not of our generators
_TILED_FROM = 1536 * 1536  # pixels of an image that the VAE decodes in tiles; by size alone, because tiles are seen


def load(
    settings: Settings,
    *,
    kind: str,
    device: str = "auto",
    dtype: str = "auto",
    batch: int | None = None,
    compile: bool = False,
) -> "Diffusion":
    """The generator of these settings.

    kind: "text", or "image" where every job has a source that it is made from.
    dtype: float32, bfloat16, float16; "auto" is float32 on a CPU, and on a GPU bfloat16 where it has it, else float16.
    batch: images at once to begin with; None: a guess by free memory. It is halved where it was too many.
    compile: compile the denoiser with torch.compile: minutes once, then faster.

    Raises UsageError for names and settings that make no sense, FewposeError for weights that can't be had, are damaged
    or do not fit into memory.
    """
    target = choose_device(device)
    number = _number(dtype, target)
    found = all_of(settings)
    if settings.lora:
        adapters.check_lora_can_be_read()
    with _explained(settings), quiet():
        pipe = _read(settings, found, kind, number)
    _schedule(pipe, settings.scheduler)
    with _explained(settings), quiet():
        if settings.lora:
            adapters.add_lora(pipe, found["lora"], settings.lora_scale)
        if settings.ip_adapter:
            adapters.add_ip_adapter(pipe, found["ip_adapter"], settings.ip_adapter_scale)
        to_device(pipe, target)
    choice = choose(pipe, settings, kind)
    if choice.width * choice.height >= _TILED_FROM and hasattr(pipe.vae, "enable_tiling"):
        pipe.vae.enable_tiling()
    if compile:
        denoiser(pipe).compile()
    size = batch or first_guess(target, choice.width, choice.height, number.itemsize)
    return Diffusion(pipe, settings, found, choice, kind=kind, batch=size, compiled=compile)


class Diffusion:
    """A Generator (see image_job.py) of any pipeline of diffusers that makes images."""

    def __init__(
        self,
        pipe: Any,
        settings: Settings,
        files: dict[str, Files],
        choice: Choice,
        *,
        kind: str,
        batch: int,
        compiled: bool = False,
    ) -> None:
        self.pipe = pipe
        self.choice = choice
        self._settings = settings
        self._files = files
        self._kind = kind
        self._compiled = compiled
        self._batches = Batches(batch)
        self._accepted = inspect.signature(type(pipe).__call__).parameters
        # The pipelines' own do_classifier_free_guidance.
        guided = choice.guidance > 1 and denoiser(pipe).config.get("time_cond_proj_dim") is None
        self._texts = Texts(pipe, guided)

    @property
    def batch(self) -> int:
        return self._batches.size

    @batch.setter
    def batch(self, size: int) -> None:
        self._batches.size = size

    def make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        """The image of each job, in their order.

        Raises UsageError for a job that lacks what the settings need, FewposeError where not even one image fits into
        memory or a source can't be read.
        """
        self._check(jobs)
        return self._batches.run(jobs, self._make)

    def facts(self) -> dict[str, str]:
        """See image_job.Generator."""
        facts = {
            "generator": type(self.pipe).__name__,
            "model": self._settings.model,
            "revision": self._files["model"].revision or self._settings.revision,
            "weights": self._files["model"].digest(),
            "scheduler": type(self.pipe.scheduler).__name__,
            "steps": str(self.choice.steps),
            "guidance": f"{self.choice.guidance:g}",
            "strength": f"{self._settings.strength:g}" if self._kind == "image" else "",
            "size": f"{self.choice.width}x{self.choice.height}",
            "dtype": str(self.pipe.dtype).removeprefix("torch."),
            "device": _device_name(self.pipe.device),
            "license": self._files["model"].license(),
            "versions": library.versions(),
        }
        for part in ("controlnet", "lora", "ip_adapter"):
            if part in self._files:
                facts[part] = getattr(self._settings, part)
                facts[f"{part}_weights"] = self._files[part].digest()
                facts[f"{part}_scale"] = f"{getattr(self._settings, f'{part}_scale'):g}"
        return {name: value for name, value in facts.items() if value}

    def _check(self, jobs: Sequence[ImageJob]) -> None:
        if self._settings.controlnet and any(job.control is None for job in jobs):
            raise UsageError("--controlnet needs a skeleton for each image, and some have none")
        if self._kind == "image" and any(job.source is None for job in jobs):
            raise UsageError("image to image needs a real image for each: say which with --from-draw")
        if self._settings.ip_adapter and any(job.source is None for job in jobs):
            raise UsageError("--ip-adapter needs a real image for each: say which with --from-draw")

    def _make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        filled = list(jobs)
        if self._compiled:  # another batch size would be compiled anew
            filled += [jobs[-1]] * (self.batch - len(jobs))
        with torch.no_grad(), quiet(), _compiling():
            self.pipe.set_progress_bar_config(disable=True)
            output = self.pipe(**self._arguments(filled))
        refused = getattr(output, "nsfw_content_detected", None) or [False] * len(filled)
        return [
            Made(job, None if no else image.convert("RGB"))
            for job, image, no in zip(jobs, output.images, refused, strict=False)
        ]

    def _arguments(self, jobs: Sequence[ImageJob]) -> dict[str, Any]:
        """Of the pipeline's call; what this one does not know is left out."""
        choice = self.choice
        arguments: dict[str, Any] = {
            "num_inference_steps": choice.steps,
            "guidance_scale": choice.guidance,
            "width": choice.width,
            "height": choice.height,
            "strength": self._settings.strength,
            "generator": [torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            **self._texts.arguments([(job.prompt, job.negative) for job in jobs]),
        }
        real = [sources.picture(job.source, choice.width, choice.height) for job in jobs if job.source]
        if self._kind == "image":
            arguments["image"] = real
        if self._settings.controlnet:
            drawn = [control.draw(job.control, choice.width, choice.height) for job in jobs if job.control]
            arguments["control_image" if "control_image" in self._accepted else "image"] = drawn
            arguments["controlnet_conditioning_scale"] = self._settings.controlnet_scale
        if self._settings.ip_adapter:
            arguments["ip_adapter_image"] = [real]
        return {name: value for name, value in arguments.items() if name in self._accepted}


def _read(settings: Settings, found: dict[str, Files], kind: str, number: torch.dtype) -> Any:
    """The pipeline, on the CPU."""
    diffusers = library.diffusers()
    auto = {"text": diffusers.AutoPipelineForText2Image, "image": diffusers.AutoPipelineForImage2Image}[kind]
    parts = {}
    if "controlnet" in found:
        folder = found["controlnet"].folder
        kept = diffusers.ControlNetModel.load_config(folder)["_class_name"]
        parts["controlnet"] = getattr(diffusers, kept).from_pretrained(folder, torch_dtype=number, use_safetensors=True)
    # A path object would be asked of the hub by some versions, and the variant's name is refused where it is None.
    pipe = auto.from_pretrained(
        str(found["model"].folder),
        torch_dtype=number,
        use_safetensors=True,
        variant=settings.variant or None,
        **parts,
    )
    if parts:
        _check_controlnet_fits(pipe, settings)
    return pipe


def _check_controlnet_fits(pipe: Any, settings: Settings) -> None:
    """Raises UsageError where they don't: they would load together, and fail at the first step."""
    widths = [part.config.get("cross_attention_dim") for part in (pipe.controlnet, denoiser(pipe))]
    if widths[0] != widths[1]:
        raise UsageError(
            f"--controlnet {settings.controlnet} is for another kind of model than --model {settings.model}: "
            f"it reads texts of width {widths[0]}, the model {widths[1]}"
        )


def _schedule(pipe: Any, wanted: str) -> None:
    """Put in the scheduler that the user named. Raises UsageError for one that does not fit."""
    if wanted:
        fitting = {scheduler.__name__: scheduler for scheduler in _compatible(pipe.scheduler)}
        if wanted not in fitting:
            raise UsageError(f"--scheduler {wanted} does not fit this model; {', '.join(sorted(fitting))} do")
        try:
            with quiet():
                pipe.scheduler = fitting[wanted].from_config(pipe.scheduler.config)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--scheduler {wanted} can't be used with this model: {_reason(error)}") from error
    if type(pipe.scheduler).__name__ in _UNSEEDED:
        raise UsageError("the model's scheduler draws noise that no seed repeats; choose one with --scheduler")


def _compatible(scheduler: Any) -> list[Any]:
    """Classes that can take its place: those that it names, and those for consistency models, which nobody names and
    which a LoRA lets any UNet use.
    """
    classes = scheduler.compatibles
    if any(each.__name__ == "DDIMScheduler" for each in classes):  # of the family that predicts noise
        classes = classes + [getattr(library.diffusers(), name) for name in CONSISTENCY]
    return [each for each in classes if each.__name__ not in _UNSEEDED]


def to_device(pipe: Any, target: torch.device) -> None:
    """Onto the device, in the memory layout that suits it."""
    pipe.to(target)
    if target.type == "cuda":
        for part in (denoiser(pipe), pipe.vae):
            part.to(memory_format=torch.channels_last)
    if hasattr(pipe.vae, "enable_slicing"):
        pipe.vae.enable_slicing()  # an image at a time: it fills a card, and takes a fraction of the memory


def _number(dtype: str, target: torch.device) -> torch.dtype:
    if dtype == "auto":
        half = torch.bfloat16 if has_native_bf16(target) else torch.float16
        return half if target.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise UsageError(f"--dtype must be auto, {', '.join(DTYPES)}, not {dtype}")
    if dtype == "float16" and target.type == "cpu":
        raise UsageError("--dtype float16 is for GPUs; on a CPU use float32 or bfloat16")
    return DTYPES[dtype]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Turns whatever a foreign model makes its reader raise into a FewposeError of one sentence."""
    try:
        yield
    except FewposeError:
        raise
    except Exception as error:
        if is_lack_of_memory(error):
            raise FewposeError(
                f"--model {settings.model} does not fit into memory; choose a smaller one, or --dtype bfloat16"
            ) from error
        raise FewposeError(f"--model {settings.model} can't be used: {_reason(error)}") from error


@contextmanager
def _compiling() -> Iterator[None]:
    """Turns errors of the compiler into a FewposeError of one sentence."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        raise FewposeError(f"--compile failed here, leave it out: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())
    return textwrap.shorten(said, 240, placeholder=" ...") or type(error).__name__
