"""The description of a trained model in its directory: model.json, checked entry by entry when it is read."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curate.foundation.errors import UsageError
from curate.images.transform import VERSION, Transform
from curate.models.normalisation import Colour
from fewshot.classifier import HEADS

FORMAT = 1
BODY, MIXTURE = "forest", "together"  # kinds of what is no head on an image tower (classifier.HEADS are those)
_LATER = ("keypoints",)  # entries that models of before don't have


class Unfit(ValueError):
    """An entry of model.json that makes no sense; says which, and what is wrong."""


@dataclass(frozen=True)
class About:
    """`head`: its "kind" (one of HEADS) and its settings; or "forest", trees on postures; or "together", with `sides`,
    each such a head, `temperatures` and `weights`. `keypoints`: the estimator by whose joints it learned, its name and
    its digest; empty where it doesn't look at the body. `temperature`: what logits are divided by. `threshold`: the
    probability below which an image is called none of the classes; 0 where there is none.

    `trained_on`: collection, set, its digest, the draw's, images by class, shots and split (null: all images).
    `measured`: by "held_back" and "test", where they were measured (see fewshot.trained.measured).
    """

    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]  # the prompts of each class
    model: str  # the CLIP model whose weights training began with
    architecture: str
    quick_gelu: bool
    starting_weights: str  # the digest of its image tower
    transform: Transform
    mean: Colour
    std: Colour
    head: dict[str, Any]
    method: str
    settings: dict[str, Any]
    chosen: dict[str, Any]
    temperature: float
    threshold: float
    trained_on: dict[str, Any]
    measured: dict[str, Any]
    versions: dict[str, str]
    keypoints: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    format: int = field(default=FORMAT)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"transform": dataclasses.asdict(self.transform) | {"version": VERSION}}

    @classmethod
    def of_json(cls, value: Any) -> "About":
        """Raises Unfit."""
        if not isinstance(value, dict):
            raise Unfit("it is not a JSON object")
        if value.get("format") != FORMAT:
            raise Unfit(f"its format is {value.get('format')!r}, and this fewpose reads {FORMAT}; update fewpose")
        names = {each.name for each in dataclasses.fields(cls)}
        if missing := sorted(names - value.keys() - {*_LATER}):
            raise Unfit(f"it lacks {', '.join(missing)}")
        entries = {name: _read(name, value[name]) for name in names & value.keys()}
        about = cls(**entries)
        if len(about.texts) != len(about.classes):
            raise Unfit(f"it has {len(about.classes)} classes, and texts for {len(about.texts)}")
        return about


def _read(name: str, value: Any) -> Any:
    check: Callable[[Any], Any] = _CHECKS.get(name, _text)
    try:
        return check(value)
    except (TypeError, ValueError, KeyError, AttributeError, UsageError) as error:
        detail = f": {error}" if isinstance(error, Unfit | UsageError) else ""
        raise Unfit(f"its {name} makes no sense{detail}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{value!r} is not text")
    return value


def _classes(value: Any) -> tuple[str, ...]:
    classes = tuple(_text(each) for each in value)
    if len(classes) < 2 or len(set(classes)) != len(classes) or not all(classes):
        raise Unfit("there must be two or more, all different")
    return classes


def _texts(value: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_text(each) for each in prompts) for prompts in value)


def _colour(least: float, most: float) -> Callable[[Any], Colour]:
    """Of three channels, in parts of the brightest value."""

    def check(value: Any) -> Colour:
        red, green, blue = (_number(least, most)(each) for each in value)
        return red, green, blue

    return check


def _number(least: float, most: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise Unfit(f"{value!r} is not a number from {least:g} to {most:g}")
        return float(value)

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit(f"{value!r} is neither true nor false")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unfit(f"{value!r} is not an object")
    return value


def _head(value: Any) -> dict[str, Any]:
    if _object(value)["kind"] == BODY:
        return {"kind": BODY}
    if value["kind"] == MIXTURE:
        sides = [_head(each) for each in value["sides"]]
        temperatures, weights = (
            [_number(0, 1e6)(each) for each in value[name]] for name in ("temperatures", "weights")
        )
        if not len(sides) == len(temperatures) == len(weights) or not all(temperatures):
            raise Unfit("each side has a temperature above 0 and a weight")
        return {"kind": MIXTURE, "sides": sides, "temperatures": temperatures, "weights": weights}
    kind = HEADS[_object(value)["kind"]]
    return {"kind": kind.kind} | {name: _number(0, 1e6)(value[name]) for name in kind.numbers}


def _texts_by_name(value: Any) -> dict[str, str]:
    return {_text(name): _text(each) for name, each in _object(value).items()}


def _transform(value: Any) -> Transform:
    if value["version"] != VERSION:
        raise Unfit(f"pixels of version {value['version']!r} are not made by this fewpose, which makes {VERSION}")
    return Transform(int(_number(1, 4096)(value["size"])), _text(value["fit"]))


def _format(value: Any) -> int:
    return int(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "classes": _classes,
    "texts": _texts,
    "quick_gelu": _flag,
    "transform": _transform,
    "mean": _colour(-1, 2),
    "std": _colour(1e-3, 10),
    "head": _head,
    "settings": _object,
    "chosen": _object,
    "temperature": _number(1e-6, 1e6),
    "threshold": _number(0, 1),
    "trained_on": _object,
    "measured": _object,
    "versions": _object,
    "format": _format,
    "keypoints": _texts_by_name,
}
