"""Whether a synthetic image is as near to the photographs of its class as they are to each other."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.components import large_enough
from curate.checks.rules.rule import CannotRun, Rule
from curate.collection.findings import Kind
from synth.accept.candidates import Candidates, compared


def synthetic_far(inputs: Candidates, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Far from the photographs of its class: the score is the part of them that is nearer to the rest of the class.

    Nearness is the mean similarity to the nearest `neighbours`, copies of a photograph and of the one that an image was
    made from left out. parameters: `components` of the features; images of classes with fewer than `least` photographs
    are left out. Raises CannotRun where nothing is left.
    """
    images, photographs = compared(inputs, int(parameters["components"]))
    labels, groups = (inputs.photographs[column].to_numpy(str) for column in ("label", "group"))
    enough = np.flatnonzero(inputs.trusted)
    enough = enough[large_enough(labels[enough], groups[enough], max(2, parameters["least"]))]
    k = int(parameters["neighbours"])
    found = []
    for label, rows in inputs.images.groupby("label"):
        theirs = enough[labels[enough] == label]
        if not len(theirs):
            continue
        class_, names = photographs[theirs], groups[theirs]
        usual = nearness(class_, names, class_, names, k)
        mine = nearness(images[rows.index], inputs.source_groups[rows.index], class_, names, k)
        scores = (usual[None, :] > mine[:, None]).mean(axis=1)
        median = float(np.median(usual))
        found += [
            (key, score, f"{score:.0%} of the photographs are nearer to {label} ({near:.2f}, usually {median:.2f})")
            for key, score, near in zip(rows["key"], scores, mine, strict=True)
        ]
    if not found:
        raise CannotRun(f"it needs {parameters['least']:g} photographs of a class, copies counted once")
    return pd.DataFrame(found, columns=["key", "score", "detail"])


def nearness(X: np.ndarray, groups: np.ndarray, others: np.ndarray, other_groups: np.ndarray, k: int) -> np.ndarray:
    """Of each vector X (n, d), the mean product with the k of `others` (m, d) where it is largest: (n,).

    groups, other_groups: (n,), (m,); those of the same group are left out. -1 where nothing is left.
    """
    products = np.where(groups[:, None] != other_groups[None, :], X @ others.T, -np.inf)
    best = -np.sort(-products, axis=1)[:, :k]
    counted = np.isfinite(best)
    sums = np.where(counted, best, 0).sum(axis=1)
    return np.where(counted.any(axis=1), sums / np.maximum(counted.sum(axis=1), 1), -1.0)


# With lite0 on photos18, 1.4 % of the photographs score that much in their own class, 76 % in others (docs/synth.md).
SYNTHETIC_FAR = Rule(
    "synthetic_far",
    "far from its class",
    1,
    Kind.LABEL,
    True,
    {"threshold": 0.98, "components": 512, "neighbours": 5, "least": 10},
    synthetic_far,
    needs_features=True,
)
