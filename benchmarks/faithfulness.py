"""How far a map tells what a classifier goes by, measured rather than admired.

Deletion and insertion (Petsiuk, Das and Saenko 2018, RISE, arXiv 1806.07421): the pixels that a map ranks highest are
taken away first, or shown first, and the probability of the class is averaged over all steps. A map that tells the
truth makes it fall early and rise early.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

STEPS = 16
RESAMPLES = 2000
Probabilities = Callable[[np.ndarray], np.ndarray]  # (n, s, s, 3) uint8 -> (n, classes)


def deletion_and_insertion(
    probabilities: Probabilities, pixels: np.ndarray, classes: np.ndarray, maps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under both curves for (n, s, s, 3) uint8 pixels, the class of each (n,) and its map (n, s, s): (n,) each.

    What is taken away becomes the picture's mean colour; what is not yet shown is blurred beyond recognition.
    """
    grey = np.broadcast_to(pixels.mean(axis=(1, 2), keepdims=True).round().astype(np.uint8), pixels.shape)
    blur = np.stack([_blurred(each) for each in pixels])
    place = ranks(maps)[..., None]
    deleted, inserted = [], []
    for step in range(STEPS + 1):
        first = place < step / STEPS
        deleted.append(_of_class(probabilities(np.where(first, grey, pixels)), classes))
        inserted.append(_of_class(probabilities(np.where(first, pixels, blur)), classes))
    area_deleted, area_inserted = (np.trapezoid(curve, dx=1 / STEPS, axis=0) for curve in (deleted, inserted))
    return area_deleted, area_inserted


def areas_of_parts(
    answers: Callable[[np.ndarray], np.ndarray], order: np.ndarray, target: int
) -> tuple[float, float, int]:
    """As deletion_and_insertion, of one body whose parts are taken away, or become known, in an `order` (parts,).

    answers: from which parts are known, (m, parts) bool, to the classes' probabilities, (m, classes).
    Returns both areas for the class `target`, and how many parts are gone when the answer is no longer `target`.
    """
    parts = len(order)
    step = np.argsort(order)  # at which each part's turn is
    kept = step >= np.arange(parts + 1)[:, None]
    chances = answers(np.concatenate([kept, ~kept]))
    deleted, inserted = (np.trapezoid(each[:, target], dx=1 / parts) for each in np.split(chances, 2))
    other = chances[: parts + 1].argmax(axis=1) != target
    other[-1] = True  # of nobody all classes are alike
    return float(deleted), float(inserted), int(other.argmax())


def ranks(maps: np.ndarray) -> np.ndarray:
    """(n, s, s) -> each pixel's place among its picture's, from 0 (the highest) to just below 1; ties at random."""
    random = np.random.default_rng(0)
    flat = maps.reshape(len(maps), -1)
    order = np.lexsort((random.random(flat.shape), -flat), axis=1)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(flat.shape[1])[None], axis=1)
    return (places / flat.shape[1]).reshape(maps.shape)


def _blurred(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(len(picture) / 18)))


def _of_class(chances: np.ndarray, classes: np.ndarray) -> np.ndarray:
    result: np.ndarray = chances[np.arange(len(classes)), classes]
    return result


def share(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Of each map's relevance (n, s, s), the part that lies within the mask (n, s, s): (n,)."""
    result: np.ndarray = (maps * masks).sum(axis=(1, 2)) / np.maximum(maps.sum(axis=(1, 2)), 1e-30)
    return result


def centred(count: int, size: int) -> np.ndarray:
    """What is in the middle matters: a Gaussian of a quarter of the picture's side, (count, size, size)."""
    away = (np.arange(size) - (size - 1) / 2) / (size / 4)
    profile = np.exp(-(away**2) / 2)
    return np.broadcast_to(profile[:, None] * profile, (count, size, size))


def smooth_noise(count: int, size: int, places: int) -> np.ndarray:
    """Maps of nothing, as coarse as the real ones (`places` along a side), made as smooth: (count, size, size)."""
    random = np.random.default_rng(0)
    coarse = random.random((count, places, places)).astype(np.float32)
    return np.stack(
        [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR)) for each in coarse]
    )


def interval(values: np.ndarray) -> dict[str, float]:
    """The mean of one number an image, and its 95 % interval over images (bootstrap)."""
    random = np.random.default_rng(0)
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
