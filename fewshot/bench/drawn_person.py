"""A picture of somebody, for who names no photograph: a figure of few strokes, which pose estimators find."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from curate.body.poses import shipped
from curate.body.projected import skeletons
from curate.pose.people import NUMBER

_POSE = "warrior_ii"
_SIZE = np.array([1024, 768])  # pixels
_SKIN, _HAIR, _SHIRT, _TROUSERS, _SHOES = (
    (224, 172, 140), (60, 40, 30), (40, 60, 120), (50, 50, 55), (230, 230, 230)
)  # fmt: skip
_STROKES = (  # from, to, how thick in parts of the trunk's length, colour; of each side
    ("hip", "knee", 0.34, _TROUSERS), ("knee", "ankle", 0.24, _TROUSERS), ("ankle", "foot_index", 0.16, _SHOES),
    ("hip", "shoulder", 0.3, _SHIRT), ("shoulder", "elbow", 0.2, _SKIN), ("elbow", "wrist", 0.16, _SKIN),
    ("wrist", "index", 0.14, _SKIN),
)  # fmt: skip
_SIDES = ("left", "right")


def draw_person(path: Path) -> Path:
    """Write a JPEG of 1024 x 768 pixels, always the same but for Pillow's version. Returns `path`."""
    random = np.random.default_rng(0)
    width, height = _SIZE.tolist()
    patches = Image.fromarray(random.integers(90, 200, (12, 16, 3), np.uint8))
    picture = patches.resize((width, height), Image.Resampling.BICUBIC)
    _draw(ImageDraw.Draw(picture), _placed())
    noisy = np.asarray(picture) + random.normal(0, 6, (height, width, 3))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def _placed() -> np.ndarray:
    """The joints (33, 2) of a skeleton of the pose, in the middle of the picture."""
    (joints,), _ = skeletons([shipped()[_POSE]], views=1)
    low, high = joints[:, :2].min(axis=0), joints[:, :2].max(axis=0)
    placed: np.ndarray = (joints[:, :2] - (low + high) / 2) * 0.8 * (_SIZE / (high - low)).min() + _SIZE / 2
    return placed


def _draw(pen: ImageDraw.ImageDraw, joints: np.ndarray) -> None:
    trunk = float(np.linalg.norm(_middle(joints, "shoulder") - _middle(joints, "hip")))
    for start, end, thick, colour in _STROKES:
        for side in _SIDES:
            ends = [joints[NUMBER[f"{side}_{name}"]] for name in (start, end)]
            pen.line([tuple(each.tolist()) for each in ends], fill=colour, width=int(thick * trunk))
            for each in ends:
                _ellipse(pen, each, thick * trunk / 2, thick * trunk / 2, colour)
    corners = [
        (side, name) for name in ("shoulder", "hip") for side in (_SIDES if name == "shoulder" else _SIDES[::-1])
    ]
    pen.polygon([tuple(joints[NUMBER[f"{side}_{name}"]].tolist()) for side, name in corners], fill=_SHIRT)
    head = joints[: NUMBER["mouth_right"] + 1].mean(axis=0)
    neck = [tuple(_middle(joints, "shoulder").tolist()), tuple(head.tolist())]
    pen.line(neck, fill=_SKIN, width=int(0.2 * trunk))
    _ellipse(pen, head, 0.22 * trunk, 0.29 * trunk, _SKIN)
    x, y = head.tolist()
    pen.chord([x - 0.23 * trunk, y - 0.33 * trunk, x + 0.23 * trunk, y + 0.08 * trunk], 180, 360, fill=_HAIR)
    for side in _SIDES:
        _ellipse(pen, joints[NUMBER[f"{side}_eye"]], 0.026 * trunk, 0.018 * trunk, (30, 30, 30))


def _middle(joints: np.ndarray, name: str) -> np.ndarray:
    middle: np.ndarray = joints[[NUMBER[f"{side}_{name}"] for side in _SIDES]].mean(axis=0)
    return middle


def _ellipse(
    pen: ImageDraw.ImageDraw, middle: np.ndarray, width: float, height: float, colour: tuple[int, int, int]
) -> None:
    x, y = middle.tolist()
    pen.ellipse([x - width, y - height, x + width, y + height], fill=colour)
