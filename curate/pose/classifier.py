"""Classes of postures, by extremely randomised trees (Geurts, Ernst and Wehenkel, Extremely randomized trees, 2006).

Each posture is shown, and asked about, in its four views (posture.views). Of what scikit-learn has, these trees are the
best on keypoints, by two to four points of accuracy, whatever the number of photographs a class (docs/pose.md).
"""

import numpy as np

from curate.pose import posture
from curate.pose.forest import Forest

TREES = 150


def views(joints: np.ndarray) -> np.ndarray:
    """The features of postures in all their views, (4, n, d) float32.  joints: (n, 33, 5), as keypoints.joints."""
    return np.stack([posture.features(*view) for view in posture.views(joints[:, :, :2], joints[:, :, 3])])


class PostureClassifier:
    """Fitted anew it gives the same probabilities, on any number of threads."""

    def __init__(
        self,
        seen: np.ndarray,
        labels: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        trees: int = TREES,
        least: int = 1,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """seen: `views` of n postures, of the `labels` (n,) and with `weights` (n,), all alike if None.

        least: views in a leaf; more of them take less memory.  seed: 0 to 2**32 - 1.
        """
        from sklearn.ensemble import ExtraTreesClassifier

        self._trees = ExtraTreesClassifier(trees, min_samples_leaf=least, n_jobs=threads, random_state=seed)
        each = None if weights is None else np.tile(weights, len(seen))
        self._trees.fit(seen.reshape(-1, seen.shape[-1]), np.tile(labels, len(seen)), each)
        self.classes = self._trees.classes_

    def probabilities(self, seen: np.ndarray) -> np.ndarray:
        """Of each posture and class, (n, classes): the mean of its views.  seen: `views`, (4, n, d)."""
        each = self._trees.predict_proba(seen.reshape(-1, seen.shape[-1]))
        return np.asarray(each.reshape(*seen.shape[:2], -1).mean(axis=0))

    def forest(self) -> Forest:
        """What was learned, to be kept."""
        return Forest.of(self._trees)
