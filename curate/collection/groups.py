"""Copies of one picture: exact, recompressed, resized, slightly cropped or brightened, and mirrored ones.

Two pictures are copies when their fine structure agrees once one is laid over the other. This is decided in three
steps, each of which sees only what the one before it let through; docs/collection.md has the measurements:

1. coarse: the correlation of the blurred middles (which a border or a banner leaves alone) at 13 x 13 of every pair,
   as blocked matrix products: exact, nothing is hashed or sampled;
2. registered: scale and shift along both axes by Gauss-Newton at 32 x 32, then their correlation;
3. fine: the correlation at 64 x 64 of what is left when soft light and background are taken away.

Steps 2 and 3 leave the outermost tenth out. A picture without any structure (a blank page) is a copy of nothing but
its own bytes. A group is a connected component of copies: if A is a copy of B, and B of C, all three are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

VERSION = 1  # another one where a change below would give other groups

COARSE = 0.85  # correlations from which on a pair goes on to the next step
REGISTERED = 0.93
FINE = 0.90

_BLANK = 1.0  # grey levels: standard deviation below which there is no structure to compare
_BLOCK = 1024  # pictures a matrix product: 1024 x 1024 x 4 bytes at a time
_BLURRED = 512  # pictures blurred at a time: floats are four times as large
_PAIRS = 512  # pairs registered at a time
_STEPS = 8  # of Gauss-Newton; most pairs need three
_MOST_SCALE = 0.16  # and shift, as a part of the side: further than that, it is another picture
_MOST_SHIFT = 0.12
_LEAST_APART = 4.0  # grey levels, after a blur by a pixel, that compression leaves alone
_PART_APART = 0.25  # of the largest difference


class Thumbnails(Protocol):
    """uint8 (n, 64, 64): an array, or what reads parts of one from disk. Only a few thousand are asked for at once."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice | np.ndarray, /) -> np.ndarray: ...


def assign(content_ids: Sequence[str], thumbnails: Thumbnails) -> list[str]:
    """The group of each picture: the smallest content id among its copies.

    content_ids: n, all different.  thumbnails: n, as in signatures.
    """
    count = len(content_ids)
    if not count:
        return []
    first, second = copies(thumbnails).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for content_id, c in zip(content_ids, component, strict=True):
        smallest[c] = min(content_id, smallest.get(c, content_id))
    return [smallest[c] for c in component]


def copies(thumbnails: Thumbnails, among: int | None = None) -> np.ndarray:
    """The pairs of copies, int (m, 2), smaller index first.

    among: only pairs whose smaller index is below it; the rest are not compared with each other.
    """
    found = [np.zeros((0, 2), np.int64)]
    for first, second, mirrored in _batches(_candidates(thumbnails, among), _PAIRS):
        found.append(np.stack([first, second], axis=1)[_correlations(thumbnails, first, second, mirrored) >= FINE])
    return np.unique(np.concatenate(found), axis=0)


def compare(thumbnails: Thumbnails, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How alike the given pairs are, whatever they look like in the coarse view (which is step 1 of `copies`).

    first, second: indices (m,) of thumbnails; with first < second, correlations are those that `copies` decides by.
    Returns the fine correlations (m,) float32, -1 where even registration fails, and whether (m,) the pair is laid over
    each other better when one of them is mirrored.
    """
    straight, mirrored = np.full((2, len(first)), -1, np.float32)
    for start in range(0, len(first), _PAIRS):
        part = slice(start, start + _PAIRS)
        for correlations, flip in ((straight, False), (mirrored, True)):
            flips = np.full(len(first[part]), flip)
            correlations[part] = _correlations(thumbnails, first[part], second[part], flips)
    return np.maximum(straight, mirrored), mirrored > straight


def compare_within(thumbnails: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How alike the parts of pairs of pictures are that lie in a box, once the whole pictures are laid over each other.

    thumbnails: uint8 (m, 2, 64, 64).  boxes: (m, 4), left, top, right and bottom as parts of the first one's sides.
    Returns correlations (m,) of the fine structure, of the pair as it is or with one of them mirrored, as the whole
    pictures are more alike; -1 where there is nothing to compare.
    """
    a, n = thumbnails[:, 0], thumbnails.shape[2]
    middle = (np.arange(n) + 0.5) / n
    inside = [(middle >= boxes[:, i, None]) & (middle <= boxes[:, i + 2, None]) for i in (0, 1)]
    where = _inner(inside[1][:, :, None] & inside[0][:, None])
    whole, within = np.full((2, 2, len(a)), -1, np.float32)
    for way in range(2):
        b = _flipped(thumbnails[:, 1], np.full(len(a), bool(way)))
        move, _ = _register(_soft(a), _soft(b))
        whole[way] = _fine_correlation(a, b, move)
        within[way] = _correlation_where(_inner(_structure(a)), _lay(_structure(b), move), where)
    return np.asarray(np.where(whole[1] > whole[0], within[1], within[0]))


@dataclass(frozen=True)
class Difference:
    """Where two pictures of one scene differ: left, top, right, bottom as parts of the sides, (4,) each."""

    box: np.ndarray  # of the first one
    other_box: np.ndarray  # of the second one, another where that is mirrored


def differing(one: np.ndarray, other: np.ndarray) -> Difference | None:
    """Around all pixels that differ by a quarter of the largest difference; None where no grey levels do.

    one, other: thumbnails, uint8 (64, 64). The one of the two ways, as it is or mirrored, that differs less is taken.
    """
    ways = [_apart(one, each) for each in (other, other[:, ::-1])]
    mirrored = bool(ways[1].sum() < ways[0].sum())
    apart = ways[mirrored]
    rows, columns = np.nonzero(apart >= max(_LEAST_APART, _PART_APART * float(apart.max())))
    if not len(rows):
        return None
    ends = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    box = ends / np.tile(apart.shape[::-1], 2)
    return Difference(box, np.array([1 - box[2], box[1], 1 - box[0], box[3]]) if mirrored else box)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(gaussian_filter(np.abs(one.astype(np.float32) - other), 1))


def _correlation_where(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(P,) correlations of the pixels (P, m) at which `where` is true; -1 where there are none or no structure."""
    count = np.maximum(where.sum(1, keepdims=True), 1)
    centred = [np.where(where, x - np.where(where, x, 0).sum(1, keepdims=True) / count, 0) for x in (one, other)]
    norms = np.prod([np.linalg.norm(x, axis=1) for x in centred], axis=0)
    return np.asarray(np.where(norms > 1e-6, (centred[0] * centred[1]).sum(1) / np.maximum(norms, 1e-6), -1))


def _correlations(thumbnails: Thumbnails, first: np.ndarray, second: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Steps 2 and 3 for pairs of indices (P,): fine correlations, -1 where registration fails."""
    a, b = thumbnails[first], _flipped(thumbnails[second], mirrored)
    move, registered = _register(_soft(a), _soft(b))
    likely = registered >= REGISTERED
    fine = np.full(len(first), -1, np.float32)
    fine[likely] = _fine_correlation(a[likely], b[likely], move[likely])
    return fine


def _soft(thumbnails: np.ndarray) -> np.ndarray:
    """float32 (P, 32, 32), blurred by one pixel: what is registered."""
    rows = thumbnails[:, ::2].astype(np.float32) + thumbnails[:, 1::2]
    result: np.ndarray = gaussian_filter((rows[:, :, ::2] + rows[:, :, 1::2]) / 4, (0, 1, 1))
    return result


def _flipped(pictures: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.where(which[:, None, None], pictures[:, :, ::-1], pictures)


# Step 1: every pair


def _candidates(thumbnails: Thumbnails, among: int | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs (first, second, mirrored) with first < second that look alike in either coarse view."""
    plain = _coarse(thumbnails)
    asked = plain[:among]
    space = np.empty(_BLOCK * _BLOCK, np.float32)
    for left in range(0, len(plain), _BLOCK):
        right = plain[left : left + _BLOCK]
        for other, mirrored in ((right, False), (_mirrored(right), True)):
            for top in range(0, min(left + 1, len(asked)), _BLOCK):
                rows, columns = _alike(asked[top : top + _BLOCK], other, space)
                ordered = rows + top < columns + left
                rows, columns = rows[ordered] + top, columns[ordered] + left
                yield rows, columns, np.full(len(rows), mirrored)


def _alike(a: np.ndarray, b: np.ndarray, space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of rows of `a` and `b` that correlate enough, in order. space: floats for all products."""
    products = space[: len(a) * len(b)]
    np.matmul(a, b.T, out=products.reshape(len(a), len(b)))
    return np.divmod(np.flatnonzero(products >= COARSE), len(b))  # far faster than nonzero of two dimensions


def _mirrored(coarse: np.ndarray) -> np.ndarray:
    return coarse.reshape(-1, 13, 13)[:, :, ::-1].reshape(-1, 169)


def _coarse(thumbnails: Thumbnails) -> np.ndarray:
    """float32 (n, 169): unit vectors whose product is the correlation of two blurred middles; zeros for a blank one."""
    flat = np.empty((len(thumbnails), 169), np.float32)
    for start in range(0, len(flat), _BLURRED):
        soft = gaussian_filter(thumbnails[start : start + _BLURRED].astype(np.float32), (0, 2, 2))[:, 6:58, 6:58]
        unit, size = _standard(soft.reshape(len(soft), 13, 4, 13, 4).mean(axis=(2, 4)).reshape(len(soft), -1))
        flat[start : start + _BLURRED] = np.where(size > _BLANK * np.sqrt(unit.shape[1]), unit, 0)
    return flat


def _batches(
    parts: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]], size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for first, second, mirrored in parts:
        for start in range(0, len(first), size):
            piece = slice(start, start + size)
            yield first[piece], second[piece], mirrored[piece]


# Steps 2 and 3: lay one over the other. A move is (P, 4): scale along x less 1, shift along x as a part of the side,
# and the same along y; the second picture is read where the move takes the first one's pixels. Only the inner 80 %
# of the first are compared: the second then has something there, too, unless it is moved very far.


def _register(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best moves (P, 4) of pictures `b` over `a` (both P, n, n), and the correlations (P,) there."""
    unit, size = _standard(_inner(a))
    downhill = _downhill(a)
    move = best_move = np.zeros((len(a), 4), np.float32)
    best = np.full(len(a), -1, np.float32)
    limit = np.array([_MOST_SCALE, _MOST_SHIFT] * 2, np.float32)
    for _ in range(_STEPS):
        laid, _ = _standard(_lay(b, move))
        correlation = (unit * laid).sum(1)
        better = correlation > best
        best, best_move = np.where(better, correlation, best), np.where(better[:, None], move, best_move)
        move = np.clip(move - (downhill @ ((laid - unit) * size)[:, :, None])[:, :, 0], -limit, limit)
    return best_move, best


def _downhill(pictures: np.ndarray) -> np.ndarray:
    """(P, 4, m): what turns a difference of the m inner pixels into the move that explains it (Gauss-Newton)."""
    n = pictures.shape[1]
    down, right = np.gradient(pictures, axis=(1, 2))
    place = np.arange(n, dtype=np.float32) - (n - 1) / 2
    slopes = np.stack([_inner(s) for s in (right * place, right * n, down * place[:, None], down * n)], axis=1)
    slopes -= slopes.mean(axis=2, keepdims=True)  # brightness is not for the move to explain
    normal = slopes @ slopes.transpose(0, 2, 1)
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    return np.linalg.solve(normal + np.eye(4, dtype=np.float32) * (2.5e-4 * scale + 1e-3), slopes)


def _fine_correlation(a: np.ndarray, b: np.ndarray, move: np.ndarray) -> np.ndarray:
    """(P,) correlations of the structure of `a` and of `b` moved over it; -1 where either has none."""
    unit_a, size_a = _standard(_inner(_structure(a)))
    unit_b, size_b = _standard(_lay(_structure(b), move))
    enough = _BLANK * np.sqrt(unit_a.shape[1])
    return np.where(np.minimum(size_a, size_b)[:, 0] > enough, (unit_a * unit_b).sum(1), -1)


def _structure(pictures: np.ndarray) -> np.ndarray:
    """Without pixel noise, and without light and background: structure of about 1/50 to 1/10 of the side."""
    floats = pictures.astype(np.float32)
    result: np.ndarray = gaussian_filter(floats, (0, 0.7, 0.7)) - gaussian_filter(floats, (0, 2.5, 2.5))
    return result


def _edge(n: int) -> int:
    return round(0.1 * n)


def _inner(pictures: np.ndarray) -> np.ndarray:
    """(P, n, n) to (P, m): without the outermost tenth, row by row."""
    n = pictures.shape[1]
    kept = slice(_edge(n), n - _edge(n))
    return pictures[:, kept, kept].reshape(len(pictures), (n - 2 * _edge(n)) ** 2)


def _standard(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, m) less the mean and of norm 1, so that a product is a correlation; and the norms before, (P, 1)."""
    centred = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(norm, 1e-6), norm


def _lay(pictures: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Pictures (P, n, n) read where the moves (P, 4) take the inner pixels: (P, m)."""
    n = pictures.shape[1]
    laid = _reading(move[:, 2:], n) @ pictures @ _reading(move[:, :2], n).transpose(0, 2, 1)
    result: np.ndarray = laid.reshape(len(pictures), (n - 2 * _edge(n)) ** 2)
    return result


def _reading(move: np.ndarray, n: int) -> np.ndarray:
    """Linear interpolation along one axis as matrices (P, inner, n), for moves (P, 2)."""
    centre = (n - 1) / 2
    inner = np.arange(_edge(n), n - _edge(n), dtype=np.float32)
    place = np.clip((1 + move[:, :1]) * (inner - centre) + move[:, 1:] * n + centre, 0, n - 1)
    result: np.ndarray = np.maximum(0, 1 - np.abs(place[:, :, None] - np.arange(n, dtype=np.float32)))
    return result
