"""How good a trained model is, on images that it was not trained on; for model.json and the card."""

from typing import Any

import numpy as np

from fewshot.measuring.bootstrap import ImageBootstrap
from fewshot.measuring.metrics import BINS


def measured(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: tuple[str, ...], threshold: float
) -> dict[str, Any]:
    """Accuracy with its 95 % interval, calibration, what the threshold does, and the classes, as plain data.

    `probabilities` (n, classes), `labels` and `groups` (n,). The interval is a bootstrap's over pictures, copies of one
    drawn together (fewshot.measuring.bootstrap): it covers which images there happened to be.
    """
    answers, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right, answered = answers == labels, surest >= threshold
    low, high = interval(right, groups)
    return {
        "images": len(labels),
        "pictures": len(np.unique(groups)),
        "accuracy": _rounded(right.mean()),
        "interval": [_rounded(low), _rounded(high)],
        "calibration_error": _rounded(_calibration_error(surest, right)),
        "answered": _rounded(answered.mean()),
        "accuracy_of_answered": _rounded(right[answered].mean()) if answered.any() else None,
        "classes": {
            name: {"images": int((labels == place).sum()), "right": int(right[labels == place].sum())}
            for place, name in enumerate(classes)
        },
    }


def interval(right: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the share of `right` (n,) bool, groups (n,) being drawn with replacement."""
    pictures, members = np.unique(groups, return_inverse=True)
    times = ImageBootstrap(len(pictures)).times.astype(np.float64)
    shares = (times @ np.bincount(members, right)) / (times @ np.bincount(members))
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(low), float(high)


def _calibration_error(surest: np.ndarray, right: np.ndarray) -> float:
    """As fewshot.measuring.metrics.calibration_error, of probabilities that temperatures were applied to already."""
    places = np.digitize(surest, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    sums = np.bincount(places, right.astype(float) - surest, minlength=BINS)
    return float(np.abs(sums).sum() / len(surest))


def _rounded(value: float) -> float:
    return round(float(value), 4)
