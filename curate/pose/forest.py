"""Fitted trees as a few arrays: small enough to keep in a file, and quick to ask about a single posture.

scikit-learn keeps a row of class shares for each node, gigabytes where there are 82 classes, and takes milliseconds to
begin a prediction. Here only leaves have shares, and only those that are not 0; all trees are walked down together.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

_LEAF = -1
_ROUNDED = 1e-3  # how far a sum of float32 may be from 1
_LANES = 2**20  # of samples times trees that are walked at once: some ten megabytes an array


@dataclass(frozen=True, eq=False)
class Forest:
    """`classes` (k,) the labels. `roots` (t,) the trees' first nodes. Of each node: `feature` (m,) int16, -1 at a leaf,
    `threshold` (m,) float32, `below` and `above` (m,) int32, the nodes where a feature is at most the threshold, and
    where it is more. `first` (m + 1,) int32: where a node's `votes` (v,) int16, places in `classes`, begin, with their
    `shares` (v,) float32, which sum to 1 in a leaf.
    """

    KINDS: ClassVar = {
        "classes": np.int64, "roots": np.int32, "feature": np.int16, "threshold": np.float32, "below": np.int32,
        "above": np.int32, "first": np.int32, "votes": np.int16, "shares": np.float32,
    }  # fmt: skip

    classes: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    below: np.ndarray
    above: np.ndarray
    first: np.ndarray
    votes: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, fitted: Any) -> "Forest":
        """fitted: scikit-learn's ExtraTreesClassifier or RandomForestClassifier, of a single output."""
        trees = [each.tree_ for each in fitted.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        leaf = np.concatenate([tree.children_left == _LEAF for tree in trees])
        shares = [np.where((tree.children_left == _LEAF)[:, None], tree.value[:, 0], 0) for tree in trees]
        held = [np.nonzero(each) for each in shares]
        counts = np.concatenate(
            [np.bincount(node, minlength=len(each)) for each, (node, _) in zip(shares, held, strict=True)]
        )
        whole = [each / np.maximum(each.sum(axis=1, keepdims=True), 1e-300) for each in shares]
        return cls(
            classes=np.asarray(fitted.classes_),
            roots=roots.astype(np.int32),
            feature=np.where(leaf, _LEAF, np.concatenate([tree.feature for tree in trees])).astype(np.int16),
            threshold=_float32_below(np.concatenate([tree.threshold for tree in trees])),
            below=np.concatenate([tree.children_left + root for tree, root in zip(trees, roots, strict=True)]).astype(
                np.int32
            ),
            above=np.concatenate([tree.children_right + root for tree, root in zip(trees, roots, strict=True)]).astype(
                np.int32
            ),
            first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            votes=np.concatenate([place for _, place in held]).astype(np.int16),
            shares=np.concatenate([each[places] for each, places in zip(whole, held, strict=True)]).astype(np.float32),
        )

    @classmethod
    def empty(cls) -> "Forest":
        """One that knows no class."""
        return cls(**{name: np.zeros(int(name == "first"), kind) for name, kind in cls.KINDS.items()})

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, d) float32 -> (n, k) float64: the mean over the trees of the shares in the leaves that are reached."""
        if not len(self.roots):
            return np.zeros((len(features), 0))
        at_once = max(1, _LANES // len(self.roots))
        parts = [self._part(features[begin : begin + at_once]) for begin in range(0, len(features), at_once)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))

    def _part(self, features: np.ndarray) -> np.ndarray:
        leaves = self._leaves(np.ascontiguousarray(features, np.float32))
        counts = self.first[leaves + 1] - self.first[leaves]
        ends = np.cumsum(counts)
        votes = np.arange(ends[-1]) + np.repeat(self.first[leaves] - ends + counts, counts)
        sample = np.repeat(np.repeat(np.arange(len(features)), len(self.roots)), counts)
        cells = sample * len(self.classes) + self.votes[votes]
        total = np.bincount(cells, self.shares[votes], len(features) * len(self.classes))
        return total.reshape(len(features), -1) / len(self.roots)

    def _leaves(self, features: np.ndarray) -> np.ndarray:
        """Of each sample and tree the leaf that is reached, (n * t,)."""
        node = np.tile(self.roots, len(features))
        values, begins = features.ravel(), np.repeat(np.arange(len(features)) * features.shape[1], len(self.roots))
        walking = np.arange(len(node))
        while len(walking):
            here = node[walking]
            feature = self.feature[here]
            inner = feature != _LEAF
            walking, here, feature = walking[inner], here[inner], feature[inner]
            low = values[begins[walking] + feature] <= self.threshold[here]
            node[walking] = np.where(low, self.below[here], self.above[here])
        return node

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as KINDS."""
        return {name: np.ascontiguousarray(getattr(self, name), kind) for name, kind in self.KINDS.items()}

    def wrong(self, labels: int, features: int) -> str:
        """Why these can't be trees over so many features that end in places of so many labels; "" where they can.

        Whatever the arrays hold, what passes ends at a leaf, and reads nothing beside them.
        """
        if any(getattr(self, name).ndim != 1 or getattr(self, name).dtype != kind for name, kind in self.KINDS.items()):
            return "an array has another shape or kind"
        nodes = len(self.feature)
        if (
            not len(self.first)
            or not len(self.threshold) == len(self.below) == len(self.above) == len(self.first) - 1 == nodes
        ):
            return "arrays of nodes differ in length"
        inner = np.flatnonzero(self.feature != _LEAF)
        children = np.stack([self.below[inner], self.above[inner]])
        if (len(inner) and (children.min(axis=0) <= inner).any()) or (children >= nodes).any():
            return "a node does not come before those below it"
        if not _within(self.feature[inner], features) or not _within(self.roots, nodes):
            return "a feature or a tree is out of range"
        if self.first[0] or self.first[-1] != len(self.votes) or (np.diff(self.first) < 0).any():
            return "votes are out of order"
        return self._wrong_votes(labels)

    def _wrong_votes(self, labels: int) -> str:
        if not _within(self.classes, labels) or len(np.unique(self.classes)) != len(self.classes):
            return "a class is out of range, or there twice"
        if len(self.shares) != len(self.votes) or not _within(self.votes, len(self.classes)):
            return "a vote is out of range"
        numbers = [self.shares, self.threshold[self.feature != _LEAF]]
        if not all(np.isfinite(each).all() for each in numbers) or (self.shares < 0).any():
            return "a number is none"
        sums = np.bincount(np.repeat(np.arange(len(self.feature)), np.diff(self.first)), self.shares, len(self.feature))
        if (np.abs(sums[self.feature == _LEAF] - 1) > _ROUNDED).any():
            return "the shares in a leaf do not sum to 1"
        return ""


def _within(values: np.ndarray, size: int) -> bool:
    return not len(values) or bool(values.min() >= 0 and values.max() < size)


def _float32_below(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each: a float32 is at most the one if it is at most the other."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)
