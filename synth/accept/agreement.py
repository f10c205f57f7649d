"""How well the keypoints of a picture agree with those that it was to show: OKS and PCK, left and right told apart.

Keypoints are COCO's 17 (synth/rendering/keypoints.py): (17, 3) of x, y in pixels, and visibility; 0 means: not known.
"""

from dataclasses import dataclass

import numpy as np

from synth.rendering.keypoints import NAMES

# COCO's, of the distance of annotators from each other, as parts of the figure's size (its keypoint evaluation).
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
FILLED = 0.53  # part of its box that a figure fills, where nobody drew its outline; as CrowdPose's evaluation has it
NEAR = 0.2  # of the trunk's length: PCK@0.2

_OTHER_SIDE = np.array(
    [
        NAMES.index(name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right"))
        for name in NAMES
    ]
)  # fmt: skip
_DIAGONALS = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))


@dataclass(frozen=True)
class Agreement:
    oks: float  # 0 to 1
    pck: float  # part of the keypoints that are near enough; nan where the trunk's length is not known
    swapped: bool  # it would agree better were left and right the other way round


def agreement(found: np.ndarray, wanted: np.ndarray) -> Agreement:
    """found: (17, 2) or more columns, in the pixels of `wanted`, (17, 3). Raises ValueError where that has none."""
    own = oks(found, wanted)
    return Agreement(own, pck(found, wanted), oks(swapped(found), wanted) > own)


def oks(found: np.ndarray, wanted: np.ndarray, area: float | None = None) -> float:
    """Object keypoint similarity, as pycocotools computes it: the mean, over the known keypoints, of
    exp(-d² / (2 area (2 sigma)²)).

    area: of the figure in pixels; a part of its box unless said. Raises ValueError where no keypoint is known.
    """
    known = _known(wanted)
    squares = np.square(found[known, :2] - wanted[known, :2]).sum(axis=1)
    size = figure(wanted) if area is None else area
    return float(np.exp(-squares / (np.square(2 * SIGMAS[known]) * (size + np.spacing(1)) * 2)).mean())


def pck(found: np.ndarray, wanted: np.ndarray, near: float = NEAR) -> float:
    """The part of the known keypoints that are within `near` times the trunk's length (Yang and Ramanan, Articulated
    human detection with flexible mixtures of parts, 2013).

    The trunk's length is that of the longer of its diagonals, shoulder to the other hip; nan where none is known.
    """
    known = _known(wanted)
    ends = [tuple(map(NAMES.index, pair)) for pair in _DIAGONALS]
    lengths = [float(np.hypot(*(wanted[a, :2] - wanted[b, :2]))) for a, b in ends if known[a] and known[b]]
    if not lengths:
        return float("nan")
    distances = np.hypot(*(found[known, :2] - wanted[known, :2]).T)
    return float((distances <= near * max(lengths)).mean())


def figure(keypoints: np.ndarray) -> float:
    """About the area of the figure, in pixels."""
    points = keypoints[_known(keypoints), :2]
    width, height = points.max(axis=0) - points.min(axis=0)
    return FILLED * float(width) * float(height)


def swapped(keypoints: np.ndarray) -> np.ndarray:
    """Left called right, and right left."""
    result: np.ndarray = keypoints[_OTHER_SIDE]
    return result


def _known(keypoints: np.ndarray) -> np.ndarray:
    known = np.asarray(keypoints[:, 2] > 0)
    if not known.any():
        raise ValueError("no keypoint is known")
    return known
