"""What tells drawings from photographs in numbers: how few colours the subject has, and how hard its edges are.

The measures are of the kind in Athitsos, Swain and Frankel, Distinguishing Photographs and Graphics on the World Wide
Web, 1997 (number of colours, prevalent colour, farthest neighbour). They are taken of the subject alone: before a plain
white background, which photographs from a studio share with drawings, the picture as a whole says nothing.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter

from curate.checks.measures.picture import Picture

_BACKGROUND = 16  # values of 255 around the background's colour that are background still
_HARD = 256  # of 765, the sum over the channels: a step to a neighbour that lenses rarely leave
_DARK = (24, 48)  # of 255, the brightest channel
_FEW = 300  # pixels: a subject of fewer says little, and its parts are drawn towards what is usual


class Artwork(NamedTuple):
    """Numbers of the subject, which is all but the commonest colour of the border."""

    plain: float  # part of the border that has its commonest colour (4 bits a channel)
    colours: float  # ln(1 + c), c the colours (5 bits a channel) that make 90 % of the subject, without its outline
    # ln of the part of the subject's pixels that differ from a neighbour as black does from a bright colour,
    hard_steps: float
    # and of the part that are nearly black, as shadows are in photographs
    dark_tones: float


def artwork(picture: Picture) -> Artwork:
    """How much a picture looks drawn: see Artwork."""
    values = np.moveaxis(picture.rgb, 2, 0).astype(np.int16, order="C")  # (3, height, width)
    plain, background = _border(values)
    subject = np.abs(values - background[:, None, None]).max(axis=0) > _BACKGROUND
    brightest = values.max(axis=0)[subject]
    dark = (brightest >= _DARK[0]) & (brightest < _DARK[1])
    hard = _steps(values)[subject] >= _HARD
    return Artwork(
        plain=plain,
        colours=_colours(values, subject),
        hard_steps=_log_part(hard, usual=0.03),
        dark_tones=_log_part(dark, usual=0.1),
    )


def _border(values: np.ndarray) -> tuple[float, np.ndarray]:
    """The part of the outermost pixels that the commonest colour has, and that colour."""
    border = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    codes = _codes(border, 4)
    commonest = codes == np.bincount(codes).argmax()
    return float(commonest.mean()), np.median(border[:, commonest], axis=1).astype(np.int16)


def _colours(values: np.ndarray, subject: np.ndarray) -> float:
    # An outline is blended with what lies behind it.
    inner = minimum_filter(subject.astype(np.uint8), 5, mode="constant") > 0
    if inner.sum() < _FEW:
        return float(np.log(1 + _FEW))
    common = np.sort(np.bincount(_codes(values[:, inner], 5)))[::-1]
    enough = np.searchsorted(np.cumsum(common), 0.9 * common.sum()) + 1
    return float(np.log(1 + enough))


def _steps(values: np.ndarray) -> np.ndarray:
    """For each pixel, the largest difference from one of its four neighbours, summed over the channels."""
    down = np.abs(np.diff(values, axis=1)).sum(axis=0, dtype=np.int16)
    across = np.abs(np.diff(values, axis=2)).sum(axis=0, dtype=np.int16)
    far = np.zeros(values.shape[1:], np.int16)
    far[:-1] = down
    far[1:] = np.maximum(far[1:], down)
    far[:, :-1] = np.maximum(far[:, :-1], across)
    far[:, 1:] = np.maximum(far[:, 1:], across)
    return far


def _codes(colours: np.ndarray, bits: int) -> np.ndarray:
    red, green, blue = (colours >> 8 - bits).astype(np.int32)
    result: np.ndarray = (red << 2 * bits) + (green << bits) + blue
    return result


def _log_part(chosen: np.ndarray, usual: float) -> float:
    return float(np.log((chosen.sum() + usual * _FEW) / (chosen.size + _FEW)))
