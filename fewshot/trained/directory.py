"""A trained model as a directory, and back.

model.json            all but the weights (see About); written last: without it there is no model
weights.safetensors   `tower.*` and `head.*`, fp32
README.md             the model card

Nothing of it is believed before it is checked: the weights' digest, then names, shapes and values of the tensors. No
pickle is ever opened.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from curate.foundation import atomic, json_files
from curate.foundation.errors import FewposeError
from curate.images.decoding import NO_LIMITS, Unreadable, read_file
from curate.models import clip_models
from fewshot.classifier import HEADS, Classifier, Head
from fewshot.trained import card, place
from fewshot.trained.about import About, Unfit
from fewshot.trained.model import TrainedModel
from fewshot.trained.place import CARD, JSON, WEIGHTS

_SHOWN = 3  # tensors that don't fit, in a sentence


def save(folder: Path, about: About, classifier: Classifier) -> About:
    """Write a model. Returns `about` with the digest of its weights."""
    tensors = {f"tower.{name}": each for name, each in classifier.tower.state_dict().items()}
    tensors |= {f"head.{name}": each for name, each in classifier.head.state_dict().items()}
    content = safetensors.torch.save({name: each.detach().cpu().contiguous() for name, each in tensors.items()})
    about = dataclasses.replace(about, weights_sha256=hashlib.sha256(content).hexdigest())
    atomic.write_bytes(folder / WEIGHTS, content)
    atomic.write_text(folder / CARD, card.text(about, folder.name, len(content)))
    json_files.write(folder / JSON, about.to_json())
    return about


def load(folder: Path, device: str = "auto") -> TrainedModel:
    """Read a model.

    Raises UsageError where `folder` holds none, or for a device that there is not; FewposeError where it is damaged, or
    doesn't fit what this fewpose and this open_clip know.
    """
    about = read(folder)
    target = clip_models.choose_device(device)
    tensors = _tensors(folder / WEIGHTS, about.weights_sha256)
    tower = _tower(folder, about, _under("tower.", tensors))
    head = _head(folder, about, _under("head.", tensors))
    model = TrainedModel(about, Classifier(tower, head), target)
    _try(folder, model)
    return model


def read(folder: Path) -> About:
    """What model.json says. Raises as `load`."""
    place.require(folder)
    path = folder / JSON
    try:
        return About.of_json(json_files.read(path))
    except OSError as error:
        raise FewposeError(f"{path} can't be read ({error.strerror})") from error
    except Unfit as error:
        raise FewposeError(f"{path} can't be used: {error}") from error
    except json_files.NotJson as why:
        raise FewposeError(f"{path} is damaged: {why}; {_again(folder)}") from why


def weights(path: Path, promised: str) -> bytes:
    """The file of a model's weights. Raises FewposeError where its digest is not as `promised`."""
    try:
        content = read_file(path, NO_LIMITS)  # through links, too: of them the model hub's cache is made
    except Unreadable as error:
        raise FewposeError(f"{path} can't be read ({error.detail}); the model needs its weights beside it") from error
    if hashlib.sha256(content).hexdigest() != promised:
        raise FewposeError(
            f"{path} is damaged, or of another model: its digest is not that of {JSON}; {_again(path.parent)}"
        )
    return content


def _tensors(path: Path, promised: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(weights(path, promised))
    except FewposeError:
        raise
    except Exception as error:  # whatever a foreign file makes the reader raise
        raise FewposeError(f"{path} is no file of safetensors; {_again(path.parent)}") from error


def _again(folder: Path) -> str:
    return f"delete {folder}, and give the fewshot train command that made it again"


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _tower(folder: Path, about: About, tensors: dict[str, Tensor]) -> Any:
    """The image tower with these weights. No memory is taken for a tower that they are not of."""
    shapes = clip_models.empty_tower(about.architecture, about.quick_gelu, device="meta").state_dict()
    names = sorted(shapes.keys() | tensors.keys())
    if differing := [name for name in names if _shape(shapes, name) != _shape(tensors, name)]:
        raise _damaged(folder, _not_of_this_tower(about.architecture, differing, shapes, tensors))
    for name, each in tensors.items():
        if not torch.isfinite(each).all():
            raise _damaged(folder, f"{name} holds values that are not numbers")
    tower = clip_models.empty_tower(about.architecture, about.quick_gelu)
    tower.load_state_dict(tensors)
    return tower


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def _not_of_this_tower(
    architecture: str, differing: list[str], shapes: dict[str, Tensor], tensors: dict[str, Tensor]
) -> str:
    def what(name: str) -> str:
        ours, theirs = _shape(shapes, name), _shape(tensors, name)
        if theirs is None:
            return f"{name} is missing"
        return f"there is no {name} in it" if ours is None else f"{name} is {theirs}, and the tower's {ours}"

    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    shown = "; ".join(map(what, differing[:_SHOWN])) + more
    way_out = f"Put {JSON} and {WEIGHTS} of one training together, or train the model again"
    return f"its weights are not those of {architecture}: {shown}. {way_out}"


def _head(folder: Path, about: About, arrays: dict[str, Tensor]) -> Head:
    kind, *numbers = about.head.items()
    try:
        return HEADS[kind[1]](**arrays, **dict(numbers))
    except TypeError as error:
        raise _damaged(folder, f"its weights lack an array of a {kind[1]} head, or have one too many") from error


def _try(folder: Path, model: TrainedModel) -> None:
    """Run it on a black picture."""
    size, classes = model.about.transform.size, len(model.classes)
    if model.tower.image_size not in (size, (size, size)):
        raise _damaged(folder, f"{model.about.architecture} doesn't look at images of {size} pixels")
    try:
        with torch.inference_mode():
            logits = model.head(model.tower(torch.zeros(1, 3, size, size, device=model.device)))
    except RuntimeError as error:
        raise _damaged(folder, "the arrays of its head don't fit each other, or its tower") from error
    if logits.shape != (1, classes) or not torch.isfinite(logits).all():
        raise _damaged(folder, f"its head does not tell {classes} classes apart")


def _damaged(folder: Path, why: str) -> FewposeError:
    return FewposeError(f"{folder} can't be used: {why}")
