"""A heat map laid over the picture that it explains."""

import numpy as np
from PIL import Image

from curate.images.transform import Transform
from fewshot.explaining.palette import coloured

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
    grey = _grey(picture)[..., None]
    colours = 255 * coloured(placed)
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


def pale(picture: Image.Image) -> Image.Image:
    """A picture in pale grey, (RGB), as it is under what is laid over it."""
    return Image.fromarray(np.rint(_grey(picture)).astype(np.uint8)).convert("RGB")


def _grey(picture: Image.Image) -> np.ndarray:
    return np.asarray(DARKEST + np.asarray(picture.convert("L"), np.float32) * (1 - DARKEST / 255))


def shades(values: np.ndarray) -> np.ndarray:
    """Values (...) from 0 to 1 as colours (..., 3) uint8, as `overlay` lays them over mid-grey."""
    opaque = MOST_OPAQUE * values[..., None]
    return np.asarray((128 * (1 - opaque) + 255 * coloured(values) * opaque).round().astype(np.uint8))


def bar(width: int, height: int) -> Image.Image:
    """The scale of the colours, from none to most."""
    return Image.fromarray(np.tile(shades(np.linspace(0, 1, width)), (height, 1, 1)))
