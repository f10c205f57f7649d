"""Probably wrong labels: what classifiers that were shown neither an image nor a copy of it say of its label.

One looks at image features, the other at the posture of who is alone in the picture (out_of_fold.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.checks.rules.components import large_enough, principal_components
from curate.checks.rules.out_of_fold import FOLDS, by_features, by_postures, folds, together
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection.findings import Kind

LEAST_AGREED = 0.5  # of the labels
# The odds of an image that one classifier alone has judged are raised to this power: they count for less. On
# photos5_noisy, image features alone then find 25 wrong labels among 33 (docs/curation.md).
_BY_ONE = 5


@dataclass(frozen=True)
class _Judged:
    probabilities: np.ndarray  # (n, classes)
    twice: np.ndarray  # bool (n,): which both classifiers judged
    by: str  # for people


def wrong_label(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Classifiers that did not see the image find another class likelier than its label: the score is the odds of the
    likeliest other class to its own.

    parameters: `strength` (C of the logistic regression on features, an inverse of its L2 penalty), `components` (of
    the features) and `least`, the pictures that a class needs; images of smaller ones are left out. Raises CannotRun
    where fewer than two classes are left, or where the classifiers agree with less than half of the labels: they are no
    judges of them then.
    """
    labels, groups = inputs.images["label"].to_numpy(str), inputs.images["group"].to_numpy(str)
    least = max(parameters["least"], FOLDS)
    kept = np.flatnonzero(large_enough(labels, groups, least))
    classes, numbers = np.unique(labels[kept], return_inverse=True)
    if len(classes) < 2:
        raise CannotRun(f"it needs two classes of {least:g} pictures or more, copies counted once")
    judged = _judged(inputs, parameters, kept, numbers)
    agreed = float(np.mean(judged.probabilities.argmax(axis=1) == numbers))
    if agreed < LEAST_AGREED:
        raise CannotRun(f"a classifier on {judged.by} gives only {agreed:.0%} of the images their label")
    own, best, likeliest = _own_and_other(judged.probabilities, numbers)
    odds = likeliest / np.maximum(own + likeliest, 1e-12)
    return pd.DataFrame(
        {
            "key": inputs.images["key"].to_numpy()[kept],
            "score": np.where(judged.twice, odds, odds**_BY_ONE),
            "detail": [
                f"looks like {classes[b]} ({p:.2f}), labelled {classes[y]} ({q:.2f})"
                for b, p, y, q in zip(best, likeliest, numbers, own, strict=True)
            ],
            "suggestion": np.where(likeliest > own, classes[best], ""),
        }
    )


def _own_and_other(probabilities: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each image the probability of its own class, the likeliest other class, and that one's: (n,) each."""
    rows = np.arange(len(numbers))
    others = probabilities.copy()
    others[rows, numbers] = -1
    best = others.argmax(axis=1)
    return probabilities[rows, numbers], best, others[rows, best]


def _judged(inputs: Inputs, parameters: Mapping[str, float], kept: np.ndarray, numbers: np.ndarray) -> _Judged:
    """The images `kept` (numbers of rows), of the classes `numbers`, by their features, by postures, or by both, as far
    as they can be had. Raises CannotRun where there is neither.
    """
    images = inputs.images.iloc[kept]
    fold = folds(images["label"].to_numpy(str), images["group"].to_numpy(str))
    joints = _joints(inputs, images)
    postures = None if joints is None else by_postures(joints, numbers, fold, inputs.workers)
    if inputs.features is None and postures is not None:
        known = np.nan_to_num(postures, nan=1 / postures.shape[1])
        return _Judged(known, np.zeros(len(images), bool), "the keypoints")
    X = principal_components(inputs.needed_features()[kept], int(parameters["components"]))
    looks = by_features(X, numbers, fold, parameters["strength"])
    by = f"the features of {inputs.model}"
    if postures is None:
        return _Judged(looks, np.zeros(len(images), bool), by)
    return _Judged(together(looks, postures, numbers), np.isfinite(postures[:, 0]), f"{by} and the keypoints")


def _joints(inputs: Inputs, images: pd.DataFrame) -> np.ndarray | None:
    """Of who is alone in each image, (n, 33, 5), NaN where nobody is, or several are. None without keypoints."""
    try:
        return inputs.keypoints.joints_of_those_alone(list(images["id"]))
    except CannotRun:
        return None


# The strength and the components do best, or within 0.01 of it, in benchmarks/label_noise.py.
WRONG_LABEL = Rule(
    "wrong_label",
    "probably wrong label",
    2,
    Kind.LABEL,
    True,
    {"threshold": 0.65, "strength": 10, "components": 512, "least": 10},
    wrong_label,
    needs_features=True,
)
