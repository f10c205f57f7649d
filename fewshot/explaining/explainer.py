"""What a classifier goes by in a picture: heat maps of what sees pixels, skeletons of what sees joints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from curate.images.transform import Transform
from curate.models.normalisation import Normalisation
from fewshot.classifier import BodyClassifier, Classifier, ImageClassifier, Mixture
from fewshot.explaining.joints import contributions
from fewshot.explaining.overlay import overlay
from fewshot.explaining.relevance import heat
from fewshot.explaining.sheet import Panel, Shown
from fewshot.explaining.skeleton import skeleton
from fewshot.trained.looking import Seen

NOBODY = "nobody was found"


@dataclass(frozen=True)
class Side:
    """A part of a mixture that is no mixture itself, with its weight in it; a classifier alone has weight 1."""

    classifier: ImageClassifier | BodyClassifier
    weight: float


class Explainer:
    """`normalise` and `transform`: what images pass before the towers of `classifier`, which are in evaluation mode, on
    the device of `normalise`.
    """

    def __init__(self, classifier: Classifier, normalise: Normalisation, transform: Transform) -> None:
        self.sides = list(_sides(classifier, 1.0))
        self.normalise, self.transform = normalise, transform

    def panels(self, seen: Seen, size: tuple[int, int], words: Mapping[int, tuple[str, str]]) -> list[Panel]:
        """For each class in `words`, which has a title and a note for it, a panel of each side.

        seen: what the classifier looks at.  size: width and height of the picture in whose pixels the joints are.
        Raises UsageError for an image tower that can't be explained, FewposeError where an extra is not installed.
        """
        classes = list(words)
        shown = [self._shown(side.classifier, seen, size, classes) for side in self.sides]
        told = self._told(seen)
        return [
            Panel(over[place], *words[each], side)
            for place, each in enumerate(classes)
            for over, side in zip(shown, told, strict=True)
        ]

    def _shown(
        self, side: ImageClassifier | BodyClassifier, seen: Seen, size: tuple[int, int], classes: Sequence[int]
    ) -> list[Shown]:
        """What this side has to show for each class."""
        if isinstance(side, ImageClassifier):
            if seen.pixels is None:
                raise TypeError("this classifier looks at pixels")
            maps = heat(side.tower, side.head, self.normalise, seen.pixels, classes)
            return [partial(overlay, heat=each, transform=self.transform) for each in maps]
        if seen.joints is None:
            raise TypeError("this classifier looks at joints")
        points = seen.joints[:, :2] / np.array(size, np.float32)
        added = contributions(side, seen.joints, classes)
        return [partial(skeleton, points=points, contributions=each) for each in added]

    def _told(self, seen: Seen) -> list[str]:
        """What is said of each side: what it looks at and what it weighs in this picture, where there are several."""
        silent = [isinstance(each.classifier, BodyClassifier) and not somebody(seen) for each in self.sides]
        total = sum(each.weight for each, without in zip(self.sides, silent, strict=True) if not without)
        return [self._words(each, total, without) for each, without in zip(self.sides, silent, strict=True)]

    def _words(self, side: Side, total: float, silent: bool) -> str:
        alone = len(self.sides) == 1
        what = "body" if isinstance(side.classifier, BodyClassifier) else "image"
        if silent:
            return NOBODY if alone else f"{what}: {NOBODY}"
        return "" if alone else f"{what}, weight {side.weight / total if total else 0:.2f}"


def somebody(seen: Seen) -> bool:
    """Whether a person was found where one was looked for."""
    return seen.joints is not None and bool(np.isfinite(seen.joints[:, :2]).any())


def _sides(classifier: Classifier, weight: float) -> Iterator[Side]:
    if isinstance(classifier, Mixture):
        for each, part in zip(classifier.sides, classifier.weights, strict=True):
            yield from _sides(each, weight * part)
    else:
        yield Side(classifier, weight)
