"""Class probabilities of images, by classifiers that were shown neither an image nor a copy of it.

One looks at image features, the other at postures; together they are weighted by how much each knows.
"""

import hashlib
from collections import Counter, defaultdict

import numpy as np

FOLDS = 5
# Views of postures in a leaf of a tree: one posture has four. On photos18 the trees are as accurate as with one, and of
# tens of thousands of images with labels that are mere noise they take a quarter of the memory.
_LEAF = 4
_LEAST = 0.003  # a probability: trees say 0, where a few hundred votes all went elsewhere


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


def by_features(X: np.ndarray, labels: np.ndarray, fold: np.ndarray, strength: float) -> np.ndarray:
    """Class probabilities (n, classes) of each image, by multinomial logistic regression on the other folds.

    X: (n, r).  labels: int (n,), 0 to classes - 1.  strength: C, an inverse of the L2 penalty.
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


def by_postures(joints: np.ndarray, labels: np.ndarray, fold: np.ndarray, threads: int) -> np.ndarray:
    """As `by_features`, from joints (n, 33, 5) as keypoints.joints has them; NaN for images without a person, and for
    all where no fold but its own has any.
    """
    from curate.pose.classifier import PostureClassifier, views

    there = np.isfinite(joints[:, :, 0]).any(axis=1)
    probabilities = np.full((len(joints), int(labels.max()) + 1), np.nan)
    seen = views(joints[there])
    labels_there, fold_there = labels[there], fold[there]
    for held_out in np.unique(fold_there):
        shown = fold_there != held_out
        if not shown.any():
            continue
        classifier = PostureClassifier(seen[:, shown], labels_there[shown], least=_LEAF, threads=threads)
        rows = np.flatnonzero(there)[~shown]
        probabilities[rows] = 0
        probabilities[np.ix_(rows, classifier.classes)] = classifier.probabilities(seen[:, ~shown])
    return probabilities


def together(one: np.ndarray, other: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Two classifiers' probabilities (n, classes) as one: their geometric mean, each weighted by the square of what it
    gains over a guess, which is ln(classes) less its mean log loss. Of an image of which `other` says nothing (NaN),
    those of `one`.
    """
    weights = [_gain(each, labels) ** 2 for each in (one, other)]
    share = weights[1] / sum(weights) if any(weights) else 0.5
    mixed = np.maximum(one, _LEAST) ** (1 - share) * np.maximum(other, _LEAST) ** share
    mixed /= mixed.sum(axis=1, keepdims=True)
    return np.where(np.isfinite(mixed), mixed, one)


def _gain(probabilities: np.ndarray, labels: np.ndarray) -> float:
    own = probabilities[np.arange(len(labels)), labels]
    own = own[np.isfinite(own)]
    if not len(own):
        return 0.0
    return max(0.0, float(np.log(probabilities.shape[1]) + np.log(np.maximum(own, _LEAST)).mean()))
