"""Probably wrong labels: what a classifier that was not shown an image, nor a copy of it, says of its label.

Confident learning (Northcutt, Jiang and Chuang, arXiv 1911.00068) estimates how many labels are wrong; the images
whose labels are the least likely beside the best other class are flagged, as many as that.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.components import large_enough, principal_components
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection.findings import Kind

FOLDS = 5
LEAST_AGREED = 0.5  # of the labels


def wrong_label(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """A classifier that did not see the image finds another class likelier than its label; from 0.5 on, it is among the
    as many that confident learning takes for wrong.

    parameters: `strength` (C of the logistic regression, an inverse of its L2 penalty), `components` (of the features)
    and `least`, the pictures that a class needs; images of smaller ones are left out. Raises CannotRun where fewer than
    two classes are left, or where the classifier agrees with less than half of the labels: it is no judge of them then.
    """
    features = inputs.needed_features()
    labels, groups = inputs.images["label"].to_numpy(str), inputs.images["group"].to_numpy(str)
    least = max(parameters["least"], FOLDS)
    kept = np.flatnonzero(large_enough(labels, groups, least))
    classes, numbers = np.unique(labels[kept], return_inverse=True)
    if len(classes) < 2:
        raise CannotRun(f"it needs two classes of {least:g} pictures or more, copies counted once")
    X = principal_components(features[kept], int(parameters["components"]))
    probabilities = out_of_fold(X, numbers, folds(labels[kept], groups[kept]), parameters["strength"])
    agreed = float(np.mean(probabilities.argmax(axis=1) == numbers))
    if agreed < LEAST_AGREED:
        raise CannotRun(
            f"a classifier on the features of {inputs.model} gives only {agreed:.0%} of the images their label"
        )
    rows = np.arange(len(kept))
    own = probabilities[rows, numbers]
    others = probabilities.copy()
    others[rows, numbers] = -1
    best = others.argmax(axis=1)
    likeliest = others[rows, best]
    return pd.DataFrame(
        {
            "key": inputs.images["key"].to_numpy()[kept],
            "score": scores(own, likeliest, errors(probabilities, numbers)),
            "detail": [
                f"looks like {classes[b]} ({p:.2f}), labelled {classes[y]} ({q:.2f})"
                for b, p, y, q in zip(best, likeliest, numbers, own, strict=True)
            ],
            "suggestion": np.where(likeliest > own, classes[best], ""),
        }
    )


def folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The fold of each image, 0 to FOLDS - 1: copies in one, classes spread evenly, decided by content alone.

    The groups of a class (of most of a group's images) are dealt out in turn, in the order of blake2b of their names.
    """
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    usual = {group: min(counts, key=lambda label: (-counts[label], label)) for group, counts in members.items()}
    ordered = sorted(usual, key=lambda group: (usual[group], hashlib.blake2b(group.encode()).digest()))
    fold = {group: place % FOLDS for place, group in enumerate(ordered)}
    return np.array([fold[group] for group in groups])


def out_of_fold(X: np.ndarray, labels: np.ndarray, fold: np.ndarray, strength: float) -> np.ndarray:
    """Class probabilities (n, classes) of each image, by multinomial logistic regression on the other folds.

    X: (n, r).  labels: int (n,), 0 to classes - 1.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    probabilities = np.zeros((len(X), int(labels.max()) + 1))
    with threadpool_limits(1):  # the sums come out the same on any number of cores
        for held_out in np.unique(fold):
            shown = fold != held_out
            model = LogisticRegression(C=strength, max_iter=1000).fit(X[shown], labels[shown])
            # A class whose every picture is, in most of its copies, called something else may be absent here.
            probabilities[np.ix_(~shown, model.classes_)] = model.predict_proba(X[~shown])
    return probabilities


def errors(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """How many labels are wrong, by confident learning.

    An image counts for the class of largest probability among those where it reaches the mean of that class's own
    images (the confident joint). Of each class, the part that counts for others is taken for wrong (equation 3).
    """
    classes = range(probabilities.shape[1])
    thresholds = np.array([probabilities[labels == c, c].mean() for c in classes])
    confident = probabilities >= thresholds
    counted = confident.any(axis=1)
    shown = np.where(confident, probabilities, -1).argmax(axis=1)
    wrong = 0.0
    for c in classes:
        mine = labels == c
        if (mine & counted).any():
            wrong += mine.sum() * float(np.mean(shown[mine & counted] != c))
    return round(wrong)


def scores(own: np.ndarray, likeliest: np.ndarray, wrong: int) -> np.ndarray:
    """In [0, 1], in the order of the odds of the likeliest other class to the own; the `wrong` first have 0.5 and more.

    own, likeliest: probabilities (n,). Where the own class is the likelier one, the score is below 0.5 in any case.
    """
    odds = likeliest / (own + likeliest)
    wrong = min(wrong, int((odds > 0.5).sum()))
    if not wrong:
        answer: np.ndarray = odds / 2
        return answer
    last = min(float(np.sort(odds)[-wrong]), 1 - 1e-9)
    result: np.ndarray = np.interp(odds, (0, last, 1), (0, 0.5, 1))
    return result


# The strength and the components do best, or within 0.01 of it, in benchmarks/label_noise.py.
WRONG_LABEL = Rule(
    "wrong_label",
    "probably wrong label",
    1,
    Kind.LABEL,
    True,
    {"threshold": 0.5, "strength": 10, "components": 512, "least": 10},
    wrong_label,
    needs_features=True,
)
