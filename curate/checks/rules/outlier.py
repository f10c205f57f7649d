"""Outliers: images that are far from the rest of their class, whatever else they look like."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.components import large_enough, principal_components
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection.findings import Kind


def outlier(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Far from the mean of its class: the score is the part of the class that would be nearer, were the logarithms of
    the distances normally distributed (by their median and median absolute deviation).

    parameters: `components` (of the features), and `least`, the pictures that a class needs; images of smaller ones are
    left out. Raises CannotRun where nothing is left.
    """
    from scipy.stats import norm

    features = inputs.needed_features()
    labels, groups = inputs.images["label"].to_numpy(str), inputs.images["group"].to_numpy(str)
    kept = np.flatnonzero(large_enough(labels, groups, parameters["least"]))
    if not len(kept):
        raise CannotRun(f"it needs a class of {parameters['least']:g} pictures or more, copies counted once")
    X, labels = principal_components(features[kept], int(parameters["components"])), labels[kept]
    distance = np.maximum(distances(X, labels), 1e-12)
    deviation = deviations(np.log(distance), labels)
    middle = pd.Series(distance).groupby(labels).transform("median")
    details = [f"{d / m:.1f} times the usual distance from its class" for d, m in zip(distance, middle, strict=True)]
    return pd.DataFrame({"key": inputs.images["key"].to_numpy()[kept], "score": norm.cdf(deviation), "detail": details})


def distances(X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mahalanobis distances (n,) of images X (n, r) from the mean of the other images of their class.

    One covariance for all classes (Lee et al., arXiv 1807.03888), shrunk (Ledoit and Wolf, A well-conditioned estimator
    for large-dimensional covariance matrices, 2004): a class of a few dozen images has none of its own.
    """
    from sklearn.covariance import LedoitWolf

    X = X.copy()
    for label in np.unique(labels):
        mine = labels == label
        count = int(mine.sum())
        X[mine] = (X[mine] - X[mine].mean(axis=0)) * (count / max(1, count - 1))
    inverse = np.linalg.pinv(LedoitWolf(assume_centered=True).fit(X).covariance_)
    result: np.ndarray = np.sqrt(np.maximum(np.einsum("nd,de,ne->n", X, inverse, X), 0))
    return result


def deviations(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far each value is from the median of its class, in standard deviations (1.4826 x the median absolute one)."""
    grouped = pd.Series(values).groupby(labels)
    off = values - grouped.transform("median").to_numpy()
    spread = 1.4826 * pd.Series(np.abs(off)).groupby(labels).transform("median").to_numpy()
    result: np.ndarray = np.divide(off, spread, out=np.zeros_like(off), where=spread > 1e-9)
    return result


OUTLIER = Rule(
    "outlier",
    "outlier of its class",
    1,
    Kind.LABEL,
    False,
    {"threshold": 0.99, "components": 24, "least": 10},
    outlier,
    needs_features=True,
)
