"""Several methods that answer together, such as the body and the image: `pose+linear-probe`.

Their log-probabilities are averaged (logits.mixed). Each side's temperature and weight come from the draw alone, by
answers on images that were held back from it: with g = ln(classes) - log loss, in nats an image, what a side knows more
than nothing, its weight is g^2 over the sum of all sides' g^2. Weights of the least log loss, or stacking, follow the
noise of a small draw: they lose up to five points on single splits of six images a class, where this loses 0.3.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from curate.models.clip_models import ClipModel
from fewshot.classifier import Mixture
from fewshot.logits import mixed
from fewshot.methods.description import Description
from fewshot.task import BatchedMethod, ChecksClasses, ChecksModel, Diverged, Draw, Fitted, Images, Method, Task
from fewshot.training.calibration import temperature
from fewshot.training.folds import Parts, folds

FOLDS = 5
_LEAST = 1e-3  # nats that a side knows at least, so that a weight is there where no side knows anything
_UNKNOWN = 1  # image, see calibration.temperature


class Side(NamedTuple):
    """A method by its name, how much of its training counts (@0.5), and what it says of itself."""

    name: str
    method: Method
    alpha: float
    about: Description


class Together:
    """Each of `sides` as in Side."""

    def __init__(self, sides: Iterable[tuple[str, Method, float, Description]]) -> None:
        self.sides = [Side(*each) for each in sides]

    def check(self, clip: ClipModel) -> None:
        for each in self.sides:
            if isinstance(each.method, ChecksModel):
                each.method.check(clip)

    def check_classes(self, classes: tuple[str, ...]) -> None:
        for each in self.sides:
            if isinstance(each.method, ChecksClasses):
                each.method.check_classes(classes)

    def fit(self, draw: Draw, task: Task) -> Fitted:
        (fitted,) = self.fit_batch([draw], [task])
        if isinstance(fitted, Exception):
            raise fitted
        return fitted

    def batching_is_faster(self, device: str) -> bool:
        """Where a side is faster so, and none takes so long that much would be lost when a batch is interrupted."""
        batched = [each.method for each in self.sides if isinstance(each.method, BatchedMethod)]
        faster = any(each.batching_is_faster(device) for each in batched)
        return faster and not any(each.about.tuned for each in self.sides)

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> "list[Fitted | Exception]":
        parts = [_parts(draw) for draw in draws]
        sides = [list(_fitted(each, draws, tasks, parts)) for each in self.sides]
        return [
            self._joined(draw, task, part, each)
            for draw, task, part, *each in zip(draws, tasks, parts, *sides, strict=True)
        ]

    def _joined(
        self, draw: Draw, task: Task, parts: Parts, sides: "list[_FittedSide | Exception]"
    ) -> Fitted | Exception:
        found: list[_FittedSide] = []
        for side in sides:
            if isinstance(side, Exception):
                return side
            found.append(side)
        held_back, labels = _held_back(draw, parts, found, len(task.classes))
        temperatures, weights = _weighed(held_back, labels)
        together = temperature(mixed(held_back, temperatures, weights), labels, _UNKNOWN) if len(labels) else 1.0
        whole = [side.whole for side in found]

        def logits(images: Images) -> np.ndarray:
            return mixed([each.logits(images) for each in whole], temperatures, weights)

        names = [each.name for each in self.sides]
        chosen: dict[str, Any] = {"weights": dict(zip(names, [round(each, 4) for each in weights], strict=True))}
        chosen |= {name: each.chosen for name, each in zip(names, whole, strict=True) if each.chosen}
        if len(labels):
            chosen["temperature"] = together
        return Fitted(
            logits, lambda: Mixture(tuple(each.classifier() for each in whole), temperatures, weights), chosen
        )


@dataclass(frozen=True)
class _FittedSide:
    """A method fitted to a whole draw, and to each of its parts."""

    whole: Fitted
    parts: list[Fitted]


def _parts(draw: Draw) -> Parts:
    """Where a class has a single image, it is missing from a part; such answers say nothing and are left out."""
    return folds(draw, FOLDS) or folds(draw, FOLDS, rare=True)


def _fitted(
    side: Side, draws: Sequence[Draw], tasks: Sequence[Task], parts: Sequence[Parts]
) -> "Iterator[_FittedSide | Exception]":
    """The side of each draw. What learns from no image is fitted once."""
    again = side.about.trains
    given = [(draw, task) for draw, task in zip(draws, tasks, strict=True)]
    for draw, task, each in zip(draws, tasks, parts, strict=True):
        given += [(_some(draw, learned), task) for learned, _ in each if again]
    fitted = iter(_fit(side.method, given))
    whole = [next(fitted) for _ in draws]
    for first, each in zip(whole, parts, strict=True):
        rest = [next(fitted) if again else first for _ in each]
        failed = next((one for one in (first, *rest) if isinstance(one, Exception)), None)
        good = [_averaged(one, side.alpha) for one in (first, *rest) if isinstance(one, Fitted)]
        yield failed or _FittedSide(good[0], good[1:])


def _fit(method: Method, given: Sequence[tuple[Draw, Task]]) -> list[Fitted | Exception]:
    if isinstance(method, BatchedMethod):
        return method.fit_batch(*map(list, zip(*given, strict=True)))
    return [_fit_one(method, *each) for each in given]


def _fit_one(method: Method, draw: Draw, task: Task) -> Fitted | Exception:
    try:
        return method.fit(draw, task)
    except (Diverged, np.linalg.LinAlgError) as error:
        return error


def _averaged(fitted: Fitted, alpha: float) -> Fitted:
    return fitted.averaged(alpha) if fitted.averaged and alpha < 1 else fitted


def _some(draw: Draw, places: np.ndarray) -> Draw:
    chosen = Images.of(draw.images.store, [draw.images.ids[place] for place in places])
    return Draw(chosen, draw.labels[places], draw.groups[places])


def _held_back(
    draw: Draw, parts: Parts, sides: Sequence[_FittedSide], classes: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Each side's logits (n, classes) of the images that were held back from it, and their labels (n,)."""
    found: list[list[np.ndarray]] = [[np.zeros((0, classes))] for _ in sides]
    labels = [draw.labels[:0]]
    for number, (learned, checked) in enumerate(parts):
        known = checked[np.isin(draw.labels[checked], draw.labels[learned])]
        if len(known):
            labels.append(draw.labels[known])
            for answers, side in zip(found, sides, strict=True):
                answers.append(side.parts[number].logits(_some(draw, known).images))
    return [np.concatenate(each) for each in found], np.concatenate(labels)


def _weighed(held_back: Sequence[np.ndarray], labels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each side its temperature and its weight; 1, and all the same, where nothing was held back."""
    if not len(labels):
        return (1.0,) * len(held_back), (1 / len(held_back),) * len(held_back)
    temperatures = tuple(temperature(each, labels, _UNKNOWN) for each in held_back)
    known = [_knows(each / by, labels) ** 2 for each, by in zip(held_back, temperatures, strict=True)]
    return temperatures, tuple(each / sum(known) for each in known)


def _knows(logits: np.ndarray, labels: np.ndarray) -> float:
    """In nats an image, more than nothing."""
    own = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return max(_LEAST, float(np.log(logits.shape[1]) + own.mean()))
