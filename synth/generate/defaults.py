"""What suits a pipeline where the user says nothing: told from its configuration, never from a model's name.

size        what its denoiser was trained on: config.sample_size x the VAE's scale.
few steps   a distilled model says so in one of four ways:
            * its scheduler spaces the steps "trailing", and does not rescale to zero terminal SNR (SD and SDXL Turbo,
              Lightning, Hyper): 4 steps without guidance;
            * its scheduler is made for consistency models (LCM, TCD; also when the user chose it for a LoRA): the same;
            * its UNet is told the guidance (time_cond_proj_dim: LCM): 4 steps, and the pipeline's own guidance;
            * its transformer could be told the guidance, and is not (guidance_embeds: FLUX.1 schnell): 4 steps without.
else        30 steps, or the pipeline's own number where that is smaller, and the pipeline's own guidance (7.5 for
            SD 1.5, 5.0 for SDXL).

A distilled model that says so nowhere (SD 3 Turbo) needs --steps and --guidance. What was chosen is in the provenance
of each image.
"""

import inspect
import math
from dataclasses import dataclass
from typing import Any

from curate.foundation.errors import UsageError
from synth.generate.settings import Settings

STEPS = 30
FEW = 4
GUIDANCE = 7.0  # of a pipeline that has a guidance, and no default
CONSISTENCY = ("LCMScheduler", "TCDScheduler")  # schedulers of consistency models


@dataclass(frozen=True)
class Choice:
    """What an image is made with."""

    width: int  # pixels
    height: int
    steps: int
    guidance: float


def choose(pipe: Any, settings: Settings, kind: str) -> Choice:
    """The user's word, or what suits `pipe`. Raises UsageError where image to image would be left without a step."""
    few, guided = distilled(pipe)
    defaults = inspect.signature(type(pipe).__call__).parameters
    steps, guidance = settings.steps, settings.guidance
    if steps is None:
        # Image to image does the part `strength` of its steps; a distilled model needs all of its few.
        most = int(_default(defaults, "num_inference_steps", STEPS))
        steps = (math.ceil(FEW / settings.strength) if kind == "image" else FEW) if few else min(STEPS, most)
    if guidance is None:
        guidance = _default(defaults, "guidance_scale", GUIDANCE) if guided else 0.0
    if kind == "image" and int(steps * settings.strength) < 1:
        raise UsageError(f"--strength {settings.strength} of --steps {steps} is less than one step; raise one of them")
    width, height = native_size(pipe)
    return Choice(settings.width or width, settings.height or height, steps, float(guidance))


def distilled(pipe: Any) -> tuple[bool, bool]:
    """Whether few steps suffice, and whether guidance is used (see the module's docstring)."""
    config, scheduler = denoiser(pipe).config, pipe.scheduler.config
    if config.get("time_cond_proj_dim") is not None:
        return True, True
    trailing = scheduler.get("timestep_spacing") == "trailing" and not scheduler.get("rescale_betas_zero_snr")
    if trailing or type(pipe.scheduler).__name__ in CONSISTENCY or config.get("guidance_embeds") is False:
        return True, False
    return False, True


def native_size(pipe: Any) -> tuple[int, int]:
    """Width and height in pixels that the denoiser was trained on."""
    size = denoiser(pipe).config.get("sample_size") or getattr(pipe, "default_sample_size", None) or 64
    height, width = (size, size) if isinstance(size, int) else (size[-2], size[-1])
    return width * pipe.vae_scale_factor, height * pipe.vae_scale_factor


def denoiser(pipe: Any) -> Any:
    """The network that takes the steps."""
    unet = getattr(pipe, "unet", None)
    return unet if unet is not None else pipe.transformer


def _default(parameters: Any, name: str, otherwise: float) -> float:
    value = parameters[name].default if name in parameters else None
    return value if isinstance(value, int | float) else otherwise
