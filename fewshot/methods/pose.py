"""The body alone: extremely randomised trees on a posture's features, in four views (curate/pose/classifier.py).

The features are scaled and turned to nothing but the body itself, so that they tell a posture wherever it is done. What
else was tried, logistic regression on the same features, its mean with the trees, more trees, jittered joints, brought
nothing (docs/pose.md): there is nothing for a draw to choose.
"""

from typing import Annotated

import numpy as np
import torch

from curate.foundation.options import option, settings
from curate.pose.classifier import TREES, PostureClassifier, views
from curate.pose.forest import Forest
from fewshot.classifier import BodyClassifier
from fewshot.task import Draw, Fitted, Task, image_weights

_SEEDS = 2**32  # of scikit-learn


@settings
class Pose:
    """An image in which nobody was found says nothing: it is not learned from, and all classes are alike of it."""

    trees: Annotated[int, option("Number of trees.", ge=1, le=10_000)] = TREES

    def fit(self, draw: Draw, task: Task) -> Fitted:
        joints = draw.images.joints()
        there = np.isfinite(joints[:, :, 0]).any(axis=1)
        seen, weights = views(joints[there]), image_weights(draw.labels, task.class_weights, there)[there]
        made = BodyClassifier(forest(seen, draw.labels[there], weights, self.trees, task.seed), len(task.classes))
        without = {"without_person": int((~there).sum())}
        return Fitted(lambda images: made.logits(images.joints()), lambda: made, without)


def forest(seen: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, trees: int, seed: int) -> Forest:
    """Fitted to `views` (4, n, d) of postures with labels (n,) and weights (n,), all alike if None."""
    if not len(labels):
        return Forest.empty()
    fitted = PostureClassifier(
        seen, labels, weights=weights, trees=trees, seed=seed % _SEEDS, threads=torch.get_num_threads()
    )
    return fitted.forest()
