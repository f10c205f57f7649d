"""What a method is given: images without labels, a draw with labels, and the task's words.

The labels of test images are no part of it, so that no method can look at them. Nor can a method get from the images
that it is given to others, or to the collection.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from curate.models.clip_models import ClipModel
from curate.pose.people import JOINTS, VALUES
from fewshot.classifier import Classifier, Head, ImageClassifier

Activations = Callable[[Iterable[str], int, bool], Tensor | None]
Joints = Callable[[Iterable[str]], np.ndarray]


def _nobody(ids: Iterable[str]) -> np.ndarray:
    return np.full((len(tuple(ids)), len(JOINTS), len(VALUES)), np.nan, np.float32)


@dataclass(frozen=True)
class ImageStore:
    """Pixels and frozen features of images, by content id.

    `pixels(ids)`: (n, size, size, 3) uint8, an array or, where they lie on a GPU, a tensor there. `features`: id ->
    (d,) float32, not normalised. `activations(ids, blocks, mirrored)`: what goes into the last blocks of the frozen
    image tower (see fewshot.training.frozen_trunk), (n, ...) in its precision, on the CPU; None where it isn't kept.
    `joints(ids)`: of the surest person in each image, (n, 33, 5) float32, as curate.pose.people has them; NaN where
    there is nobody.
    """

    pixels: Callable[[Iterable[str]], np.ndarray | Tensor]
    features: dict[str, np.ndarray]
    activations: Activations = lambda ids, blocks, mirrored: None
    joints: Joints = _nobody


@dataclass(frozen=True)
class Images:
    """Some images, without labels. `store` holds these and no others."""

    store: ImageStore
    ids: tuple[str, ...]

    @classmethod
    def of(cls, store: ImageStore, ids: Iterable[str]) -> "Images":
        """The images `ids` of a store that holds more."""
        chosen = tuple(ids)
        allowed = {image: store.features[image] for image in chosen}

        def only(wanted: Iterable[str]) -> tuple[str, ...]:
            wanted = tuple(wanted)
            if unknown := set(wanted) - allowed.keys():
                raise KeyError(f"{len(unknown)} images that were not handed over")
            return wanted

        def pixels(wanted: Iterable[str]) -> np.ndarray | Tensor:
            return store.pixels(only(wanted))

        def activations(wanted: Iterable[str], blocks: int, mirrored: bool) -> Tensor | None:
            return store.activations(only(wanted), blocks, mirrored)

        def joints(wanted: Iterable[str]) -> np.ndarray:
            return store.joints(only(wanted))

        return cls(ImageStore(pixels, allowed, activations, joints), chosen)

    def __len__(self) -> int:
        return len(self.ids)

    def pixels(self) -> np.ndarray | Tensor:
        """(n, size, size, 3) uint8: an array, or a tensor where the pixels lie on a GPU."""
        return self.store.pixels(self.ids)

    def activations(self, blocks: int, *, mirrored: bool = False) -> Tensor | None:
        """What goes into the last `blocks` blocks (see ImageStore); what isn't kept, training.frozen_trunk computes."""
        return self.store.activations(self.ids, blocks, mirrored)

    def joints(self) -> np.ndarray:
        """(n, 33, 5) float32 (see ImageStore)."""
        return self.store.joints(self.ids)

    def features(self) -> np.ndarray:
        """(n, d) float32 image features of the frozen model, of length 1."""
        stacked = np.stack([self.store.features[image] for image in self.ids])
        result: np.ndarray = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return result


@dataclass(frozen=True)
class Draw:
    """The training images of a trial: `labels` (n,) int64; copies of one picture share a number in `groups` (n,)."""

    images: Images
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Task:
    """`texts[c]` are the prompts of class c, from several templates or one. `seed` is the trial's own.

    Whatever the method: `augment` (of fewshot.training.augment.KINDS) is what happens to training images wherever the
    image tower runs over them (frozen features are of the picture as it is); `class_weights` "balanced" has every class
    weigh the same in the loss, however many images it has.
    """

    clip: ClipModel
    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    seed: int
    augment: str = "none"
    class_weights: str = "none"


def image_weights(labels: np.ndarray, kind: str, learned: np.ndarray | None = None) -> np.ndarray:
    """What each training image weighs in a loss: (n,) float64 of mean 1 for labels (n,).

    `kind`: a task's `class_weights`; "none": all alike; "balanced": as scikit-learn has it, n / (classes * images of
    the class), counted among those that are learned from. 0 for images that are not `learned` (n,) bool from (all are,
    if None).
    """
    weights = np.ones(len(labels)) if learned is None else learned.astype(np.float64)
    if kind == "balanced":
        counts = np.bincount(labels, weights)
        weights *= weights.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)[labels])
    return weights


@dataclass(frozen=True)
class Fitted:
    """A trained method: `logits(images)` -> (n, classes) float32; `chosen`: what it chose by means of the draw alone.

    `classifier()`: the same as something that needs neither draw nor task. `averaged(alpha)`: what comes of
    alpha times the weights at the end of training plus 1 - alpha times those at its beginning (Wortsman et al. 2022,
    arXiv 2109.01903), for methods that tune the model.
    """

    logits: Callable[[Images], np.ndarray]
    classifier: Callable[[], Classifier]
    chosen: dict[str, Any] = field(default_factory=dict)
    averaged: "Callable[[float], Fitted] | None" = None

    @classmethod
    def on_features(cls, head: Head, task: Task, chosen: dict[str, Any] | None = None) -> "Fitted":
        """Of a method that leaves the image tower as it is."""
        tower = task.clip.model.visual
        return cls(lambda images: head.scores(images.features()), lambda: ImageClassifier(tower, head), chosen or {})


class Method(Protocol):
    """From a draw to class scores. An instance is its settings (a frozen dataclass)."""

    def fit(self, draw: Draw, task: Task) -> Fitted: ...


@runtime_checkable
class BatchedMethod(Method, Protocol):
    """A method that fits several draws of one size faster than one after the other, to the same result."""

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> "list[Fitted | Exception]":
        """A result for each draw; for one that fails its Diverged or LinAlgError, while other errors are raised."""
        ...

    def batching_is_faster(self, device: str) -> bool:
        """Whether `fit_batch` is faster on "cpu" or "cuda"; where it isn't, trials are run one by one."""
        ...


def fit_alone(method: BatchedMethod, draw: Draw, task: Task) -> Fitted:
    """One draw, by a method that fits many. Raises what `fit_batch` puts in the place of one that failed."""
    (fitted,) = method.fit_batch([draw], [task])
    if isinstance(fitted, Exception):
        raise fitted
    return fitted


@runtime_checkable
class ChecksModel(Method, Protocol):
    """A method that can't use every model, and checks the one that it is given."""

    def check(self, clip: ClipModel) -> None:
        """Raises UsageError, before any work, for a model that it can't use."""
        ...


@runtime_checkable
class ChecksClasses(Method, Protocol):
    """A method that can't tell all classes, and checks those that it is given."""

    def check_classes(self, classes: tuple[str, ...]) -> None:
        """Raises UsageError, before any work, where it can tell none of them; a note names those that it can't."""
        ...


class Diverged(Exception):
    """The loss is not a number, or ends above where it began."""
