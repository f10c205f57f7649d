"""A classifier as named tensors, and back, checked: names, shapes and values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from curate.models import clip_models
from curate.pose import posture
from curate.pose.forest import Forest
from fewshot.classifier import HEADS, BodyClassifier, Classifier, Head, ImageClassifier, Mixture
from fewshot.trained.about import BODY, MIXTURE, About
from fewshot.trained.place import JSON, WEIGHTS

_SHOWN = 3  # tensors that don't fit, in a sentence


class Misfit(Exception):
    """Tensors that are not those of the classifier that is described; says what is wrong."""


def described(classifier: Classifier) -> dict[str, Any]:
    """As About.head."""
    if isinstance(classifier, Mixture):
        sides = [described(each) for each in classifier.sides]
        by_side = {"temperatures": list(classifier.temperatures), "weights": list(classifier.weights)}
        return {"kind": MIXTURE, "sides": sides} | by_side
    if isinstance(classifier, BodyClassifier):
        return {"kind": BODY}
    return {"kind": classifier.head.kind} | classifier.head.settings()


def tensors_of(classifier: Classifier) -> dict[str, Tensor]:
    """Its arrays by name."""
    if isinstance(classifier, Mixture):
        sides = [tensors_of(each) for each in classifier.sides]
        return {f"{place}.{name}": each for place, side in enumerate(sides) for name, each in side.items()}
    if isinstance(classifier, BodyClassifier):
        forest = {"classes": classifier.forest.classes} | classifier.forest.arrays()
        return {f"forest.{name}": torch.from_numpy(np.array(each)) for name, each in forest.items()}
    found = {f"tower.{name}": each for name, each in classifier.tower.state_dict().items()}
    return found | {f"head.{name}": each for name, each in classifier.head.state_dict().items()}


def classifier_of(about: About, tensors: dict[str, Tensor]) -> Classifier:
    """The reverse of `tensors_of`. Raises Misfit."""
    return _classifier(about, about.head, tensors)


def _classifier(about: About, head: dict[str, Any], tensors: dict[str, Tensor]) -> Classifier:
    if head["kind"] == MIXTURE:
        sides = tuple(
            _classifier(about, each, _under(f"{place}.", tensors)) for place, each in enumerate(head["sides"])
        )
        return Mixture(sides, tuple(head["temperatures"]), tuple(head["weights"]))
    if head["kind"] == BODY:
        return BodyClassifier(_forest(_under("forest.", tensors), len(about.classes)), len(about.classes))
    tower = _tower(about, _under("tower.", tensors))
    return ImageClassifier(tower, _head(head, _under("head.", tensors)))


def _forest(arrays: dict[str, Tensor], classes: int) -> Forest:
    if arrays.keys() != Forest.KINDS.keys():
        raise Misfit("its weights lack an array of a forest, or have one too many")
    forest = Forest(**{name: each.numpy() for name, each in arrays.items()})
    if why := forest.wrong(classes, posture.WIDTH):
        raise Misfit(f"its trees make no sense: {why}")
    return forest


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _tower(about: About, tensors: dict[str, Tensor]) -> Any:
    """The image tower with these weights. No memory is taken for a tower that they are not of."""
    shapes = clip_models.empty_tower(about.architecture, about.quick_gelu, device="meta").state_dict()
    names = sorted(shapes.keys() | tensors.keys())
    if differing := [name for name in names if _shape(shapes, name) != _shape(tensors, name)]:
        raise Misfit(_not_of_this_tower(about.architecture, differing, shapes, tensors))
    for name, each in tensors.items():
        if not torch.isfinite(each).all():
            raise Misfit(f"{name} holds values that are not numbers")
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


def _head(head: dict[str, Any], arrays: dict[str, Tensor]) -> Head:
    kind, *numbers = head.items()
    try:
        return HEADS[kind[1]](**arrays, **dict(numbers))
    except TypeError as error:
        raise Misfit(f"its weights lack an array of a {kind[1]} head, or have one too many") from error
