"""A person as an estimator finds them: a box, and 33 joints in pixels of the upright image.

The joints are those of BlazePose (Bazarevsky et al., arXiv 2006.10204); COCO's seventeen are among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

# left and right are the person's own.
JOINTS = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
NUMBER = {name: number for number, name in enumerate(JOINTS)}
BODY = tuple(range(11, 33))  # without the face
VALUES = ("x", "y", "z", "visibility", "presence")  # of a joint

# Which joint stands on the other side; those in the middle are their own.
OTHER_SIDE = tuple(
    NUMBER[name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")] for name in JOINTS
)

# COCO's keypoints in COCO's order, as numbers of JOINTS.
COCO = tuple(
    NUMBER[name]
    for name in (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    )
)  # fmt: skip

# Which joints a drawing connects, as numbers of JOINTS.
BONES = tuple(
    (NUMBER[one], NUMBER[other])
    for one, other in (
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        *(
            (f"{side}_{one}", f"{side}_{other}")
            for side in ("left", "right")
            for one, other in (
                ("ear", "eye"), ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index"), ("shoulder", "hip"),
                ("hip", "knee"), ("knee", "ankle"), ("ankle", "heel"), ("ankle", "foot_index"), ("heel", "foot_index"),
            )
        ),
        ("nose", "left_eye"), ("nose", "right_eye"),
    )
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """One person in an image."""

    score: float  # 0 to 1: how sure the detector is that there is a person
    presence: float  # 0 to 1: how sure the estimator is, when it looks closer
    joints: np.ndarray  # (33, 5) float32: VALUES; x, y, z in pixels (z: from the hips, less is nearer); NaN: not known

    @property
    def box(self) -> np.ndarray:
        """Around the joints, (4,) float32: left, top, right, bottom in pixels."""
        return np.concatenate([np.nanmin(self.joints[:, :2], 0), np.nanmax(self.joints[:, :2], 0)])

    def inside(self, width: int, height: int) -> float:
        """The share of the joints that lie within an image of this size."""
        return float(inside(self.joints[None], np.array([[width, height]]))[0])

    def coco(self, least: float = 0.5) -> np.ndarray:
        """COCO's keypoints, (17, 3) float32: x, y in pixels, and 2 for visible, 1 for one whose visibility is below
        `least`.
        """
        chosen = self.joints[list(COCO)]
        return np.column_stack([chosen[:, :2], np.where(chosen[:, 3] >= least, 2, 1)]).astype(np.float32)


def inside(joints: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The share of each person's known joints (n, 33, 5) that lie within images of `sizes` (n, 2), (n,)."""
    points = joints[:, :, :2]
    known = np.isfinite(points).all(-1)
    within = ((points >= 0) & (points < sizes[:, None])).all(-1)
    return np.asarray(within.sum(1) / np.maximum(known.sum(1), 1))


class Estimator(Protocol):
    """What finds people in pictures. Not to be shared between threads."""

    name: str  # "blazepose-full": what --model takes
    digest: str  # of its weights, and of all that its answers depend on
    side: int  # pixels of the longer side that suffice: a larger picture may be decoded smaller

    def people(self, image: Image.Image) -> Sequence[Person]:
        """Those in an upright RGB picture, the surest first; coordinates are pixels of `image`."""
        ...


def scaled(person: Person, x: float, y: float) -> Person:
    """The same person in an image that is `x` times as wide and `y` times as high."""
    joints = person.joints * np.array([x, y, (x + y) / 2, 1, 1], np.float32)
    return Person(person.score, person.presence, joints)
