"""Parts of a draw, for a method to choose its settings by: cross-validation that sees nothing but the draw."""

import numpy as np

from fewshot.task import Draw

Parts = list[tuple[np.ndarray, np.ndarray]]


def folds(draw: Draw, number: int, *, rare: bool = False) -> Parts:
    """Up to `number` pairs of indices (to fit, to check), classes even, copies of one picture in one part.

    An empty list where a class has a single image, or there is a single class: nothing can be held back then. `rare`:
    `number` parts even where a class has fewer images, so that some parts lack it; and a class of a single picture is
    then checked by what was fitted without it. The parts are those of scikit-learn's StratifiedGroupKFold, found in an
    eighth of its time, which was as long as a probe takes.
    """
    present, labels, sizes = np.unique(draw.labels, return_inverse=True, return_counts=True)
    groups, members = np.unique(draw.groups, return_inverse=True)
    parts = min(number, len(groups), *(() if rare else (int(sizes.min()),)))
    if parts < 2 or len(present) < 2:
        return []
    counts = np.zeros((len(groups), len(present)))
    np.add.at(counts, (members, labels), 1)
    of_image = _assigned(counts, sizes, parts)[members]
    return [(np.flatnonzero(of_image != part), np.flatnonzero(of_image == part)) for part in range(parts)]


def _assigned(counts: np.ndarray, sizes: np.ndarray, parts: int) -> np.ndarray:
    """The part of each group, from (groups, classes) counts of images: greedily, the least even group first, each to
    where the classes' shares then differ least between parts; of equal ones to the part that has the fewest images.
    """
    placed, assigned = np.zeros((parts, len(sizes))), np.zeros(len(counts), np.int64)
    here = np.arange(parts)
    for group in np.argsort(-counts.std(axis=1), kind="stable"):
        tried = np.repeat(placed[None], parts, axis=0)
        tried[here, here] += counts[group]
        assigned[group] = best = _most_even(_unevenness(tried / sizes), placed.sum(axis=1))
        placed[best] += counts[group]
    return assigned


def _unevenness(shares: np.ndarray) -> list[float]:
    """(tries, parts, classes) -> the mean over classes of the standard deviation over parts, np.std's to the bit."""
    parts, classes = shares.shape[1:]
    away = shares - np.add.reduce(shares, axis=1, keepdims=True) / parts
    spread = np.sqrt(np.add.reduce(away * away, axis=1) / parts)
    result: list[float] = (np.add.reduce(spread, axis=1) / classes).tolist()
    return result


def _most_even(unevenness: list[float], images: np.ndarray) -> int:
    best, least, fewest = 0, np.inf, np.inf
    for part, (value, size) in enumerate(zip(unevenness, images.tolist(), strict=True)):
        alike = abs(value - least) <= 1e-8 + 1e-5 * abs(least) if least < np.inf else False
        if value < least or (alike and size < fewest):
            best, least, fewest = part, value, size
    return best
