"""How good a trial's predictions are: accuracy, balanced accuracy, macro-F1, calibration, confusion counts.

Everything but the calibration error follows from the confusion counts, so they're counted once. scikit-learn gives
the same numbers (the tests compare), but warns where a class was predicted that has no test image, which is usual here.
"""

import math
from dataclasses import dataclass

import numpy as np

from curate.sweeps.records import Predictions
from fewshot.logits import softmax

BINS = 15  # of Guo et al. 2017


class UnusablePredictionsError(ValueError):
    """Predictions that can't be scored: no test image, a logit that isn't finite, or shapes that don't fit."""


@dataclass(frozen=True)
class Scores:
    """A trial's scores (fractions) and confusion counts (classes, classes): row the true class, column the answer."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    ece_calibrated: float  # of the logits divided by the temperature that was chosen on the draw; NaN without one
    confusion: np.ndarray


def score(predictions: Predictions, temperature: float | None = None) -> Scores:
    """Score a trial. Raises UnusablePredictionsError where its predictions make no sense.

    `temperature` (> 0), where the method chose one, is what its logits are divided by to be calibrated.
    """
    _check(predictions)
    predicted = predictions.logits.argmax(axis=1)
    counts = confusion(predictions.labels, predicted, predictions.logits.shape[1])
    return Scores(
        accuracy=accuracy(counts),
        balanced_accuracy=balanced_accuracy(counts),
        macro_f1=macro_f1(counts),
        ece=calibration_error(predictions.logits, predictions.labels),
        ece_calibrated=(
            calibration_error(predictions.logits / np.float32(temperature), predictions.labels)
            if temperature
            else math.nan
        ),
        confusion=counts,
    )


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count the images of each true class (row) that were called each class (column): (classes, classes) int64."""
    cells = np.asarray(labels, np.int64) * classes + predicted  # int64: small label types overflow beyond 11 classes
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: np.ndarray) -> float:
    """The share of images that were given their class."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: np.ndarray) -> float:
    """The mean over the classes that have test images of the share that was recognised: every class weighs the same."""
    tested = confusion.sum(axis=1)
    present = tested > 0
    return float(np.mean(np.diagonal(confusion)[present] / tested[present]))


def macro_f1(confusion: np.ndarray) -> float:
    """The mean F1 over the classes that occur among the test labels or the predictions.

    This is scikit-learn's convention: a class that was predicted but has no test image counts with F1 = 0, and one that
    occurs nowhere isn't counted.
    """
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)  # of a class: 2 TP + FP + FN
    present = occurrences > 0
    return float(np.mean(2 * np.diagonal(confusion)[present] / occurrences[present]))


@dataclass(frozen=True)
class Reliability:
    """Images by how sure the answer was, in bins of equal width: all arrays (bins,), sums over the images of a bin."""

    images: np.ndarray  # how many
    confidence: np.ndarray  # the sum of their largest probabilities
    right: np.ndarray  # how many were named rightly

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(self.images + other.images, self.confidence + other.confidence, self.right + other.right)

    @property
    def error(self) -> float:
        """The expected calibration error: mean |accuracy − confidence| over the bins, weighted by images."""
        return float(np.abs(self.right - self.confidence).sum() / self.images.sum())


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Bin images by confidence, the largest probability of softmax(logits): ((m-1)/bins, m/bins].

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.
    """
    confidence = softmax(logits).max(axis=1)
    right = logits.argmax(axis=1) == labels
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    places = np.digitize(confidence, inner_edges, right=True)
    return Reliability(
        np.bincount(places, minlength=bins),
        np.bincount(places, weights=confidence, minlength=bins),
        np.bincount(places, weights=right, minlength=bins),
    )


def calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error of softmax(logits), a fraction between 0 and 1: Guo et al. 2017, equation 3."""
    return reliability(logits, labels, bins).error


def _check(predictions: Predictions) -> None:
    logits, labels = predictions.logits, predictions.labels
    if logits.ndim != 2 or logits.shape[1] == 0 or labels.shape != (len(logits),):
        raise UnusablePredictionsError(f"{labels.shape} labels don't fit logits of shape {logits.shape}")
    if len(labels) == 0:
        raise UnusablePredictionsError("there is no test image")
    if not np.isfinite(logits).all():
        raise UnusablePredictionsError("some logits are not finite")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UnusablePredictionsError(
            f"labels run from {labels.min()} to {labels.max()}, logits have {logits.shape[1]}"
        )
