"""Logits of classifiers by arithmetic alone, and what they mean: of postures, of several sides, as probabilities.

An exported folder computes with this very file, on a machine without torch (fewshot/exporting/folder.py): it takes
nothing but numpy.
"""

from collections.abc import Callable, Sequence

import numpy as np

from curate.pose import classifier as postures

_LEAST = 1 / 1024  # a share: where a few hundred votes all went elsewhere, a class is unlikely and not impossible

Shares = Callable[
    [np.ndarray], np.ndarray
]  # features of postures (m, 178) float32 -> shares of the classes (m, classes)


def of_postures(joints: np.ndarray, shares: Shares, classes: int) -> np.ndarray:
    """(n, 33, 5), as keypoints.joints -> (n, classes) float32; all 0 where there is nobody.

    Each posture is asked about in its four views, whose shares are averaged.
    """
    logits = np.zeros((len(joints), classes), np.float32)
    there = np.isfinite(joints[:, :, 0]).any(axis=1)
    if there.any():
        seen = postures.views(joints[there])
        each = shares(seen.reshape(-1, seen.shape[-1])).reshape(*seen.shape[:2], classes)
        logits[there] = np.log(np.maximum(each.mean(axis=0), _LEAST))
    return logits


def mixed(sides: Sequence[np.ndarray], temperatures: Sequence[float], weights: Sequence[float]) -> np.ndarray:
    """Logits (n, classes) float32 of several sides as one: the mean of their log-probabilities, each side's logits
    divided by its temperature, by their weights (a logarithmic opinion pool: Genest and Zidek 1986).

    A side that finds all classes of an image alike has no say in it.
    """
    total = np.zeros(sides[0].shape)
    say = np.zeros((len(total), 1))
    for logits, temperature, weight in zip(sides, temperatures, weights, strict=True):
        speaks = weight * (np.ptp(logits, axis=1, keepdims=True) > 0)
        total += speaks * _log_softmax(logits.astype(np.float64) / temperature)
        say += speaks
    return np.asarray(total / np.where(say > 0, say, 1), np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the classes, (n, classes) float64, from logits of any float type."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """As `softmax`, of logits (n, classes) divided by a model's temperature."""
    return softmax(logits / np.float32(temperature))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    moved = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=1, keepdims=True)))
