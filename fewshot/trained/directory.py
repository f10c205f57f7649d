"""A trained model as a directory, and back.

model.json            all but the weights (see About); written last: without it there is no model
weights.safetensors   `tower.*` and `head.*`, fp32; `forest.*` of what looks at the body; of several sides, `0.*`, `1.*`
README.md             the model card

Nothing of it is believed before it is checked: the weights' digest, then names, shapes and values of the tensors. No
pickle is ever opened.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

from curate.foundation import atomic, json_files
from curate.foundation.errors import FewposeError
from curate.images.decoding import NO_LIMITS, Unreadable, read_file
from curate.models import clip_models
from curate.pose.people import JOINTS, VALUES
from fewshot.classifier import Classifier
from fewshot.trained import card, parts, place
from fewshot.trained.about import About, Unfit
from fewshot.trained.model import TrainedModel, images_of
from fewshot.trained.place import CARD, JSON, WEIGHTS

_NOBODY = np.full((1, len(JOINTS), len(VALUES)), np.nan, np.float32)


def save(folder: Path, about: About, classifier: Classifier, name: str = "") -> About:
    """Write a model. Returns `about` with the digest of its weights.  name: of the model; the folder's unless said."""
    tensors = parts.tensors_of(classifier)
    content = safetensors.torch.save({name: each.detach().cpu().contiguous() for name, each in tensors.items()})
    about = dataclasses.replace(about, weights_sha256=hashlib.sha256(content).hexdigest())
    atomic.write_bytes(folder / WEIGHTS, content)
    atomic.write_text(folder / CARD, card.text(about, name or folder.name, len(content)))
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
    try:
        classifier = parts.classifier_of(about, tensors)
    except parts.Misfit as why:
        raise _damaged(folder, str(why)) from why
    model = TrainedModel(about, classifier, target)
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


def _try(folder: Path, model: TrainedModel) -> None:
    """Run it on a black picture, and on nobody."""
    size = model.about.transform.size
    for each in images_of(model.classifier):
        if each.tower.image_size not in (size, (size, size)):
            raise _damaged(folder, f"{model.about.architecture} doesn't look at images of {size} pixels")
    try:
        logits = model.logits(np.zeros((1, size, size, 3), np.uint8), _NOBODY)
    except (RuntimeError, ValueError, IndexError) as error:
        raise _damaged(folder, "the arrays of its head don't fit each other, or its tower") from error
    if logits.shape != (1, len(model.classes)) or not np.isfinite(logits).all():
        raise _damaged(folder, f"its head does not tell {len(model.classes)} classes apart")


def _damaged(folder: Path, why: str) -> FewposeError:
    return FewposeError(f"{folder} can't be used: {why}")
