"""BlazePose's landmark model: the 33 joints of one person, from a square that is turned so that the person is upright.

What it says of each joint is refined by its heat map around that place, as MediaPipe does it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.pose.people import JOINTS
from curate.pose.square import cut
from curate.pose.tflite import Model, sigmoid

SIDE = 256
_POINTS = 39  # the joints, two points that say where to look next, and four that are not used
_CELL = 4  # pixels of the square that a cell of the heat map covers
_AROUND = np.arange(-3, 4)  # cells of the heat map that are looked at, each way
_VALUES = np.arange(256, dtype=np.float32) / np.float32(255)  # what it is given for 0 to 255
_LEAST = 0.5  # of a heat map that says anything
_LARGER = 1.25  # the square, beside the circle around the person


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What the model says of one square; places in pixels of the picture."""

    presence: float  # 0 to 1: whether there is a person
    joints: np.ndarray  # (33, 5): x, y, z, visibility, presence
    middle: np.ndarray  # (2,): of the hips
    end: np.ndarray  # (2,): on a circle around the whole person; with `middle`, where to look again


class LandmarkModel:
    """The model. Not to be shared between threads."""

    def __init__(self, content: bytes, source: str, threads: int = 1) -> None:
        """Raises UsageError where `content` is another model, or damaged."""
        shapes = ((1, _POINTS * 5), (1, 1), (1, SIDE, SIDE, 1), (1, 64, 64, _POINTS), (1, _POINTS * 3))
        self._model = Model(content, source, threads, inputs=((1, SIDE, SIDE, 3),), outputs=shapes, used=(0, 1, 3))

    def __call__(self, image: Image.Image, middle: np.ndarray, end: np.ndarray) -> Landmarks | None:
        """The joints of the person around `middle`, (2,) in pixels, who is upright when `end` is above; None where the
        two tell no square.
        """
        square = _square(middle, end)
        if square is None:
            return None
        said, presence, heat = self._model(cut(image, square, SIDE, _VALUES))
        points = said.reshape(_POINTS, 5)
        places = _refined(points[:, :2], heat[0]) @ square[:, :2].T + square[:, 2]
        scale = float(np.hypot(*square[:, 0]))
        others = np.column_stack([points[:, 2] * scale, sigmoid(points[:, 3]), sigmoid(points[:, 4])])
        joints = np.column_stack([places, others]).astype(np.float32)[: len(JOINTS)]
        return Landmarks(float(presence[0, 0]), joints, places[33], places[34])


def _square(middle: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """The map from the square's pixels to the picture's, (2, 3)."""
    x, y = end - middle
    radius = float(np.hypot(x, y))
    if not 1 <= radius < 1e5:
        return None
    scale = 2 * radius * _LARGER / SIDE
    turned = scale / radius * np.array([[-y, -x], [x, -y]])  # the square's upward axis points to `end`
    return np.column_stack([turned, middle - turned @ [SIDE / 2, SIDE / 2]])


def _refined(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Each point moved to the centre of its heat map around it, where that map is sure.

    points: (39, 2), x, y in pixels of the square.  heat: (64, 64, 39) logits.
    """
    cells = np.clip(points / _CELL, -1e6, 1e6).astype(int)
    x, y = cells[:, 0, None] + _AROUND, cells[:, 1, None] + _AROUND
    rows, columns = heat.shape[:2]
    there = ((y >= 0) & (y < rows))[:, :, None] & ((x >= 0) & (x < columns))[:, None, :]
    around = heat[
        np.clip(y, 0, rows - 1)[:, :, None],
        np.clip(x, 0, columns - 1)[:, None, :],
        np.arange(len(points))[:, None, None],
    ]
    weights = np.where(there, sigmoid(around), 0)
    sure = weights.max((1, 2)) >= _LEAST
    total = np.maximum(weights.sum((1, 2)), 1e-9)
    centres = np.column_stack([(weights.sum(1) * x).sum(1), (weights.sum(2) * y).sum(1)]) / total[:, None] * _CELL
    return np.where(sure[:, None], centres, points)
