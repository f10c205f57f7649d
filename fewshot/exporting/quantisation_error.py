"""The quantisation error of int8: two models' answers to the same images, compared in pairs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_QUANTILE = NormalDist().inv_cdf(0.975)
_HALVINGS = 60


@dataclass(frozen=True)
class QuantisationError:
    """Accuracies (fractions) on `images` images, and `difference`: int8's less fp32's, with its 95 % interval.

    `only_fp32`, `only_int8`: images that one of them alone names rightly. `agreement`: the share that both call the
    same, rightly or not. `largest_change`: of any probability.
    """

    images: int
    accuracy_fp32: float
    accuracy_int8: float
    difference: float
    low: float
    high: float
    only_fp32: int
    only_int8: int
    agreement: float
    largest_change: float


def compare(fp32: np.ndarray, int8: np.ndarray, labels: np.ndarray) -> QuantisationError:
    """From the probabilities (n, classes) of both, and what the images are (n,)."""
    answers = fp32.argmax(axis=1), int8.argmax(axis=1)
    right, right8 = (answer == labels for answer in answers)
    only_fp32, only_int8 = int((right & ~right8).sum()), int((right8 & ~right).sum())
    low, high = interval(only_int8, only_fp32, len(labels))
    return QuantisationError(
        images=len(labels),
        accuracy_fp32=float(right.mean()),
        accuracy_int8=float(right8.mean()),
        difference=(only_int8 - only_fp32) / len(labels),
        low=low,
        high=high,
        only_fp32=only_fp32,
        only_int8=only_int8,
        agreement=float((answers[0] == answers[1]).mean()),
        largest_change=float(np.abs(fp32 - int8).max()),
    )


def interval(gained: int, lost: int, pairs: int) -> tuple[float, float]:
    """The 95 % score interval of (gained - lost) / pairs (Tango, Statistics in Medicine 17, 1998, 891-908).

    Unlike Wald's or the bootstrap's it has a width where no pair differs, and stays inside -1 and 1.
    """
    observed = (gained - lost) / pairs
    return (
        _border(lambda difference: score(gained, lost, pairs, difference) > _QUANTILE, -1.0, observed),
        _border(lambda difference: score(gained, lost, pairs, difference) >= -_QUANTILE, observed, 1.0),
    )


def score(gained: int, lost: int, pairs: int, difference: float) -> float:
    """How many standard errors the observed difference lies above a true `difference`; falls as that rises."""
    b = -gained - lost + (2 * pairs - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    losing = (math.sqrt(max(0.0, b * b - 8 * pairs * c)) - b) / (4 * pairs)  # the likeliest share of pairs lost
    variance = pairs * (2 * losing + difference * (1 - difference))
    distance = gained - lost - pairs * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _border(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds`, true at `low`, ends."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2
