"""Small weights on top of a pipeline: LoRA, and IP-Adapter, which shows a model an image beside the text."""

from importlib.util import find_spec
from typing import Any

import torch

from curate.foundation.errors import FewposeError, UsageError
from synth.generate.files import Files


def check_lora_can_be_read() -> None:
    """Raises FewposeError where the package that diffusers needs for it is missing."""
    if find_spec("peft") is None:
        raise FewposeError("--lora needs a package that is missing here: pip install peft")


def add_lora(pipe: Any, files: Files, scale: float) -> None:
    """Fuse it into the pipeline's weights: it costs nothing later. Raises UsageError for a pipeline that takes none."""
    if not hasattr(pipe, "load_lora_weights"):
        raise UsageError(f"--lora: {type(pipe).__name__} takes none")
    pipe.load_lora_weights(str(files.folder), weight_name=files.weights[0].name, use_safetensors=True)
    pipe.fuse_lora(lora_scale=scale)
    pipe.unload_lora_weights()


def add_ip_adapter(pipe: Any, files: Files, scale: float) -> None:
    """Put it into the denoiser. Raises UsageError for a pipeline that takes none."""
    if not hasattr(pipe, "load_ip_adapter"):
        raise UsageError(f"--ip-adapter: {type(pipe).__name__} takes none")
    pipe.load_ip_adapter(str(files.folder), subfolder="", weight_name=files.weights[0].name)
    pipe.set_ip_adapter_scale(scale)
    pipe.prepare_ip_adapter_image_embeds = lambda *given: _an_image_each(pipe, *given)


def _an_image_each(
    pipe: Any, images: list[list[Any]], _ready: None, device: torch.device, _count: int, guided: bool
) -> list[torch.Tensor]:
    """In the place of the pipeline's own, which shows every image of a batch to every other (diffusers issue 9813).

    images: one list of n pictures, one for each image of the batch. Returns one tensor (n or 2n, 1, ...), the
    unconditional half first.
    """
    projection = pipe.unet.encoder_hid_proj.image_projection_layers[0]
    hidden = type(projection).__name__ != "ImageProjection"  # the others read a layer before the last
    positive, negative = pipe.encode_image(images[0], device, 1, hidden)
    both = torch.cat([negative, positive]) if guided else positive
    return [both[:, None].to(device)]
