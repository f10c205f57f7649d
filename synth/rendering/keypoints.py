"""The 17 keypoints of COCO, in pixels."""

import numpy as np
from numpy.typing import NDArray

from curate.body.camera import Camera
from curate.body.skeleton import SIDES, Array, Placement, Proportions

NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
OUTSIDE, HIDDEN, VISIBLE = 0, 1, 2
# A joint lies this deep under the skin in front of it (metres); more means that something else is in front.
_DEPTH = {"shoulder": 0.085, "elbow": 0.065, "wrist": 0.05, "hip": 0.13, "knee": 0.085, "ankle": 0.06}
_HEAD_DEPTH = 0.03


def find(placement: Placement, people: Proportions, camera: Camera, depth: Array, size: int) -> NDArray[np.float32]:
    """x, y in pixels of a square of `size`, and visibility as COCO counts it, (17, 3).

    `depth` is the distance to the body along the ray through each pixel of a picture of any size, inf beside it.
    """
    points = places(placement, people)
    pixels, _ = camera.project(points, size)
    away = np.linalg.norm(points - camera.position, axis=-1)
    seen = np.full(len(NAMES), OUTSIDE)
    for number, (name, (x, y)) in enumerate(zip(NAMES, pixels, strict=True)):
        if 0 <= x < size and 0 <= y < size:
            scale = len(depth) / size
            front = depth[int(y * scale), int(x * scale)]
            deep = _DEPTH.get(name.partition("_")[2], _HEAD_DEPTH)
            seen[number] = VISIBLE if np.isfinite(front) and away[number] - front < deep else HIDDEN
    return np.concatenate([pixels, seen[:, None]], axis=1).astype(np.float32)


def places(placement: Placement, people: Proportions) -> Array:
    """Where the keypoints are in the world, (17, 3) metres."""
    h = people.head
    base = people.neck * 0.5

    def head(x: float, y: float, z: float) -> Array:
        return placement.point("neck", np.array([x * h, base + y * h, z * h]) * people.height)

    points = [head(0, 0.032, 0.066)]
    points += [head(x * 0.019, 0.053, 0.047) for x in (1, -1)]
    points += [head(x * 0.050, 0.042, -0.003) for x in (1, -1)]
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        points += [placement.point(f"{side}_{joint}", (0, 0, 0)) for side in SIDES]
    return np.stack(points)
