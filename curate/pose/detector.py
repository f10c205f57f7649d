"""BlazePose's detector: who is in a picture, and how each person is turned.

It looks at the whole picture at 224 x 224 pixels and gives, for each of 2,254 anchors, how sure it is of a person
there, a box around the face, and four points. Two of these tell the landmark model where to look: the middle of the
hips, and a point on a circle around the whole person (Bazarevsky et al., arXiv 2006.10204).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.pose.square import cut
from curate.pose.tflite import Model, sigmoid

SIDE = 224
_STRIDES = ((8, 2), (16, 2), (32, 6))  # of a grid of anchors, in pixels, and how many anchors each of its cells has
_VALUES = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1  # what it is given for 0 to 255
_SAME = 0.3  # boxes that overlap as much (intersection over union) are of one person


@dataclass(frozen=True, eq=False)
class Detection:
    """Where the landmark model shall look for one person; points in pixels of the picture."""

    score: float
    middle: np.ndarray  # (2,): of the hips
    end: np.ndarray  # (2,): on a circle around the whole person, beyond the head

    def moved(self, x: float, y: float) -> "Detection":
        """In pixels of a picture of which this one was cut out at (x, y)."""
        by = np.array([x, y])
        return Detection(self.score, self.middle + by, self.end + by)


class Detector:
    """The model. Not to be shared between threads."""

    def __init__(self, content: bytes, source: str, threads: int = 1) -> None:
        """Raises UsageError where `content` is another model, or damaged."""
        self._model = Model(
            content, source, threads, inputs=((1, SIDE, SIDE, 3),), outputs=((1, 2254, 12), (1, 2254, 1))
        )
        self._anchors = _anchors()

    def detect(self, image: Image.Image, least: float) -> list[Detection]:
        """People with a score of at least `least`, the surest first."""
        square = _whole(image)
        boxes, logits = self._model(cut(image, square, SIDE, _VALUES))
        scores = sigmoid(logits[0, :, 0])
        likely = scores >= least
        anchors = self._anchors[likely]
        # centre, size and four points, in parts of the square; size alone is not measured from the anchor
        values = boxes[0][likely].reshape(-1, 6, 2) / SIDE
        values[:, [0, 2, 3, 4, 5]] += anchors[:, None]
        found = _merged(values, scores[likely])
        return [Detection(score, *(value[2:4] * SIDE @ square[:, :2].T + square[:, 2])) for value, score in found]


def _anchors() -> np.ndarray:
    """Their centres, (2254, 2), in parts of the square."""
    grids = []
    for stride, each in _STRIDES:
        cells = SIDE // stride
        y, x = np.mgrid[0:cells, 0:cells]
        grids.append(((np.stack([x, y], -1) + 0.5) / cells).reshape(-1, 2).repeat(each, axis=0))
    return np.concatenate(grids).astype(np.float32)


def _whole(image: Image.Image) -> np.ndarray:
    """The map of the square with the whole picture in its middle, (2, 3), as square.cut takes it."""
    longer = max(image.size)
    scale = longer / SIDE
    return np.array([[scale, 0, (image.width - longer) / 2], [0, scale, (image.height - longer) / 2]])


def _merged(values: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Weighted non-maximum suppression: of the boxes of one person, their mean weighted by score, and the best score.

    values: (n, 6, 2): centre, size and points.  scores: (n,).
    """
    low, high = values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2
    left = np.argsort(-scores, kind="stable")
    found = []
    while len(left):
        best = left[0]
        same = _overlap(low[best], high[best], low[left], high[left]) > _SAME
        same[0] = True  # even a box without an area
        weights = scores[left[same]]
        found.append((np.average(values[left[same]], axis=0, weights=weights), float(scores[best])))
        left = left[~same]
    return found


def _overlap(low: np.ndarray, high: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others."""
    shared = np.clip(np.minimum(high, highs) - np.maximum(low, lows), 0, None).prod(-1)
    areas = np.clip(high - low, 0, None).prod() + np.clip(highs - lows, 0, None).prod(-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))
