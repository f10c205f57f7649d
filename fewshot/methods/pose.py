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
        made = BodyClassifier(self._forest(joints[there], draw.labels, there, task), len(task.classes))
        without = {"without_person": int((~there).sum())}
        return Fitted(lambda images: made.logits(images.joints()), lambda: made, without)

    def _forest(self, joints: np.ndarray, labels: np.ndarray, there: np.ndarray, task: Task) -> Forest:
        if not len(joints):
            return Forest.empty()
        return PostureClassifier(
            views(joints),
            labels[there],
            weights=image_weights(labels, task.class_weights, there)[there],
            trees=self.trees,
            seed=task.seed % _SEEDS,
            threads=torch.get_num_threads(),
        ).forest()
