"""What CLIP models, files of weights and devices may be called: said by the names alone, before torch is loaded.

That a name makes sense does not mean that weights or a device can be had; `curate.models.clip_models` says so.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from curate.foundation import resources
from curate.foundation.errors import UsageError

NONE = "none"  # stands for no model, where that is possible

_ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
# torch knows more (its device types), on which nothing of ours was ever run, or which hold no numbers ("meta").
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu|hpu|xla|mtia|npu)(:\d+)?")


def model(name: str) -> str:
    """The name of a model, or "". Raises UsageError for a shape that there is not."""
    shape = name.partition("/")[0]
    if name and shape not in _shapes():
        raise unknown_model(shape)
    return name


def model_or_none(name: str) -> str:
    """As `model`; also NONE."""
    return name if name == NONE else model(name)


def checkpoint(path: Path | None) -> Path | None:
    """A file of weights, or None. Raises UsageError where there is no such file, or its name ends in another way."""
    if path is not None and not path.is_file():
        raise UsageError(f"--checkpoint {path}: no such file")
    if path is not None and path.suffix not in _ENDINGS:
        *most, last = _ENDINGS
        raise UsageError(f"--checkpoint {path}: expected {', '.join(most)} or {last}")
    return path


def device(name: str) -> str:
    """The name of a device. Raises UsageError for what is none anywhere."""
    if not _DEVICE.fullmatch(name):
        raise unusable_device(name)
    return name


def unknown_model(shape: str) -> UsageError:
    """The error about a shape that there is not."""
    return UsageError(
        f"--model {shape} is not known; lite0 or one of open_clip's, e.g. ViT-B-32/openai "
        '(all: python -c "import open_clip; print(open_clip.list_models())")'
    )


def unusable_device(name: str) -> UsageError:
    """The error about a device that there is not."""
    return UsageError(f"--device {name} can't be used on this machine; try --device cpu")


def _shapes() -> set[str]:
    """Names of shapes: ours, and open_clip's, which has a file for each."""
    folders = [resources.path("open_clip")]
    if "open_clip" in sys.modules:  # then it may have been given more
        return {path.stem for path in folders[0].glob("*.json")} | set(sys.modules["open_clip"].list_models())
    spec = find_spec("open_clip")  # finds it, and does not load it
    folders += [Path(place, "model_configs") for place in (spec and spec.submodule_search_locations) or ()]
    return {path.stem for folder in folders for path in folder.glob("*.json")}
