"""How much lettering lies over a picture, without reading it: rows of letter-like shapes, and marks that repeat.

A row is found as in Epshtein, Ofek and Wexler, Detecting Text in Natural Scenes with Stroke Width Transform, CVPR 2010,
section 4: letters are thin shapes of a plausible size; neighbours of like height, side by side on one line, make a
row. Strokes come from morphology instead of the stroke width transform: what a closing (an opening) with a square
larger than a stroke takes away is a thin dark (bright) shape.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curate.checks.measures.picture import Picture

_STROKE = 9  # pixels: thicker is no stroke
_CONTRAST = 45  # grey values between a stroke and what is around it
_HEIGHTS = (5, 64)  # of a letter, pixels
_MOST = 3000  # shapes looked at; a lawn has more, and none of them is a letter
_ROW = 4  # letters that make a row

_FAINT = (2, 14)  # grey values: what is stronger is the picture itself, not a mark over it
_NEAREST = 12  # pixels at half size between two repetitions of a mark


class Lettering(NamedTuple):
    letters: float  # in rows, the dark or the bright ones, whichever are more
    rows: float  # their number
    text_area: float  # the part of the picture that the rows' boxes cover, 0 to 1


class Repetition(NamedTuple):
    repetition: float  # 0 (no mark repeats) to 1


def rows_of_letters(picture: Picture) -> Lettering:
    """How much of a picture rows of letters cover: see Lettering."""
    grey = picture.grey.astype(np.uint8)  # three times as fast
    dark = ndimage.grey_closing(grey, _STROKE) - grey > _CONTRAST
    light = grey - ndimage.grey_opening(grey, _STROKE) > _CONTRAST
    # Of one kind: what dark letters leave between them looks like bright ones.
    rows = max((_rows(_letters(strokes)) for strokes in (dark, light)), key=lambda found: sum(map(len, found)))
    area = sum((row[:, 1].max() - row[:, 0].min()) * (row[:, 3].max() - row[:, 2].min()) for row in rows)
    return Lettering(
        letters=float(sum(map(len, rows))),
        rows=float(len(rows)),
        text_area=min(1.0, float(area) / picture.grey.size),
    )


def _letters(strokes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) of the shapes that could be letters: top, bottom, left, right, in pixels."""
    shapes, count = ndimage.label(strokes, np.ones((3, 3)))
    if not 0 < count <= _MOST:
        return np.empty((0, 4), np.int64)
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(shapes)])
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    fill = np.bincount(shapes.ravel(), minlength=count + 1)[1:] / (height * width)
    upright = (height >= _HEIGHTS[0]) & (height <= _HEIGHTS[1]) & (width <= 2.5 * height) & (height <= 8 * width)
    result: np.ndarray = boxes[upright & (fill > 0.15) & (fill < 0.95)]
    return result


def _rows(boxes: np.ndarray) -> list[np.ndarray]:
    """The boxes of each row of at least _ROW letters."""
    top, bottom, left, right = boxes.T
    height = bottom - top
    larger = np.maximum(height[:, None], height)
    alike = 1.8 * np.minimum(height[:, None], height) >= larger
    level = np.minimum(np.abs(bottom[:, None] - bottom), np.abs(top[:, None] - top)) <= np.maximum(1, 0.15 * larger)
    overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top) > 0.6 * np.minimum(
        height[:, None], height
    )
    gap = left - right[:, None]  # from the right side of one to the left side of the next
    beside = (gap >= -0.1 * larger) & (gap <= 0.9 * larger)
    one, other = np.nonzero(alike & level & overlap & beside)
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(len(boxes), len(boxes)))
    row = connected_components(graph, directed=False)[1]
    return [boxes[row == r] for r in np.flatnonzero(np.bincount(row) >= _ROW)]


def repetition(picture: Picture) -> Repetition:
    """How strongly faint marks repeat along a slant, as stock watermarks do.

    The sharpest peak of the autocorrelation of the signs of faint fine structure at half size, away from the axes,
    along which floors, walls and windows repeat. Signs, so that no strong edge outweighs the rest.
    """
    half = _halved(picture.grey)
    if min(half.shape) < _NEAREST:
        return Repetition(0.0)
    fine = half - ndimage.uniform_filter(half, 5)
    size = np.abs(fine)
    marks = np.where((size > _FAINT[0]) & (size < _FAINT[1]), np.sign(fine), 0).astype(np.float32)
    power = np.abs(np.fft.rfft2(marks, [2 * side for side in marks.shape])) ** 2
    correlation = np.fft.irfft2(power)
    if correlation[0, 0] < 1:  # nothing is faint
        return Repetition(0.0)
    height, width = (2 * side // 3 for side in marks.shape)
    shifted = np.concatenate([correlation[-height:, :width], correlation[: height + 1, :width]])
    down, across = np.mgrid[-height : height + 1, :width]
    overlap = (1 - np.abs(down) / marks.shape[0]) * (1 - across / marks.shape[1])
    shifted /= correlation[0, 0] * overlap
    # Less the ridges of what is long and straight: bars, boards.
    ridges = [ndimage.uniform_filter1d(shifted, 9, axis=axis) for axis in (0, 1)]
    peaks = shifted - np.maximum(*ridges)
    slanted = (down**2 + across**2 > _NEAREST**2) & (np.abs(down) > 3) & (across > 3)
    return Repetition(float(np.clip(peaks[slanted].max(initial=0), 0, 1)))


def _halved(grey: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels."""
    height, width = (side // 2 for side in grey.shape)
    result: np.ndarray = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return result
