"""The body, known before any photograph: skeletons of poses, projected from joint angles (curate/body/projected.py).

They are learned from like keypoints of photographs. Where there are photographs, all skeletons of a class together
weigh as much as a few of these: as WEIGHT photographs where the skeletons alone name every photograph of the draw, as
none where they know nothing of it. With one photograph a class this beats both the skeletons and the photographs alone;
from six on it changes nothing (docs/pose.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Annotated

import numpy as np
from scipy.special import log_softmax

from curate.body.names import matching
from curate.body.poses import Pose as KnownPose
from curate.body.poses import everyday, shipped
from curate.body.shipped_skeletons import NUMBER, skeletons
from curate.foundation import console
from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings
from curate.pose.classifier import TREES, views
from fewshot.classifier import BodyClassifier
from fewshot.methods.pose import forest
from fewshot.methods.pose_map import PoseMap
from fewshot.task import Draw, Fitted, Task, image_weights

WEIGHT = 3.0  # photographs


@settings
class PosePrior:
    """Without images it knows those of the classes that have a pose; with images, all."""

    trees: Annotated[int, option("Number of trees.", ge=1, le=10_000)] = TREES
    views: Annotated[int, option("Number of skeletons of a pose.", ge=1, le=10_000)] = NUMBER
    pose_map: PoseMap = field(default_factory=dict)

    def check_classes(self, classes: tuple[str, ...]) -> None:
        """Names the classes without a pose on the terminal. Raises UsageError where none has one."""
        poses = known(classes, self.pose_map)
        lacking = [name for name in classes if name not in poses]
        if not poses:
            raise UsageError(
                f"pose-prior has no pose for any of these classes, such as {classes[0]}; a --pose-map FILE can say "
                "which poses of data/poses.yaml they are"
            )
        if lacking:
            console.note(
                f"pose-prior has no pose for {', '.join(lacking)}: without photographs it never answers so; --pose-map "
                "FILE says which poses they are"
            )

    def fit(self, draw: Draw, task: Task) -> Fitted:
        seen, labels = _seen_as(task.classes, tuple(sorted(self.pose_map.items())), self.views)
        joints = draw.images.joints()
        there = np.isfinite(joints[:, :, 0]).any(axis=1)
        photographs, own = views(joints[there]), draw.labels[there]
        alone = BodyClassifier(forest(seen, labels, None, self.trees, task.seed), len(task.classes))
        if not len(own):
            return Fitted(lambda images: alone.logits(images.joints()), lambda: alone, {"weight": 1.0})
        weight = WEIGHT * _known(alone.logits(joints[there]), own)
        each = np.concatenate([
            image_weights(draw.labels, task.class_weights, there)[there],
            np.full(len(labels), weight / self.views),
        ])  # fmt: skip
        whole = np.concatenate([photographs, seen], axis=1), np.concatenate([own, labels])
        made = BodyClassifier(forest(*whole, each, self.trees, task.seed), len(task.classes))
        return Fitted(lambda images: made.logits(images.joints()), lambda: made, {"weight": round(weight, 3)})

    def of_poses(self, poses: Sequence[KnownPose]) -> BodyClassifier:
        """Of these poses alone, in their order, without any photograph."""
        joints, labels = skeletons(poses, views=self.views)
        return BodyClassifier(forest(views(joints), labels, None, self.trees, 0), len(poses))


def known(classes: tuple[str, ...], pose_map: Mapping[str, str]) -> dict[str, KnownPose]:
    """Class -> its pose, of those that have one. Raises UsageError where the map names no pose."""
    return matching(classes, [*shipped().values(), *everyday().values()], pose_map)


@lru_cache(maxsize=4)
def _seen_as(
    classes: tuple[str, ...], pose_map: tuple[tuple[str, str], ...], number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Views of skeletons, (4, n, d), and the places of their classes, (n,)."""
    poses = known(classes, dict(pose_map))
    joints, labels = skeletons(list(poses.values()), views=number)
    return views(joints), np.array([classes.index(name) for name in poses])[labels]


def _known(logits: np.ndarray, labels: np.ndarray) -> float:
    """How true the skeletons' answers are: 1 where always right and sure, 0 where no better than a guess."""
    own = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return max(0.0, 1 + float(own.mean() / np.log(logits.shape[1])))
