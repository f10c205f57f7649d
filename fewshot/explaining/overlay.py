"""A heat map laid over the picture that it explains."""

import matplotlib
import numpy as np
from PIL import Image

from curate.images.transform import Transform

COLOURS = "inferno"  # from dark to light in even steps, whatever kind of colour vision one has
MOST_OPAQUE = 0.8  # of the heat, where it is most
DARKEST = 90  # of 255, so that the dark colours of little heat stand out from black clothes, too
UNSEEN = 0.3  # how bright is what the model has not seen


def overlay(picture: Image.Image, heat: np.ndarray, transform: Transform) -> Image.Image:
    """`picture` (upright, RGB) in pale grey, and over it `heat` (size, size), 0 or more, of the square that was seen.

    The most is full colour, nothing is none; a map that is 0 everywhere leaves the picture grey. What lies outside of
    the square is dark.
    """
    placed = _placed(heat / max(float(heat.max()), np.finfo(np.float32).tiny), picture.size, transform)
    seen = _placed(np.ones_like(heat), picture.size, transform)[..., None]
    grey = DARKEST + np.asarray(picture.convert("L"), np.float32)[..., None] * (1 - DARKEST / 255)
    colours = 255 * matplotlib.colormaps[COLOURS](placed)[..., :3]
    opaque = MOST_OPAQUE * placed[..., None]
    mixed = (grey * (1 - opaque) + colours * opaque) * (UNSEEN + (1 - UNSEEN) * seen)
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))


def _placed(values: np.ndarray, size: tuple[int, int], transform: Transform) -> np.ndarray:
    """Values (size, size) of the square that the model saw, at each pixel of a picture (width, height); outside 0."""
    left, top, right, _ = transform.seen(*size)
    scale = transform.size / (right - left)
    corners = (-left * scale, -top * scale, (size[0] - left) * scale, (size[1] - top) * scale)
    square = Image.fromarray(values.astype(np.float32))
    return np.asarray(square.transform(size, Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR)).clip(0, 1)


def bar(width: int, height: int) -> Image.Image:
    """The scale of the colours, from none to most, as `overlay` lays them over mid-grey."""
    steps = np.linspace(0, 1, width)
    opaque = MOST_OPAQUE * steps[:, None]
    row = 128 * (1 - opaque) + 255 * matplotlib.colormaps[COLOURS](steps)[:, :3] * opaque
    return Image.fromarray(np.broadcast_to(row, (height, width, 3)).round().astype(np.uint8))
