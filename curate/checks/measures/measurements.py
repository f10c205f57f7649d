"""Numbers about how each picture looks, for the rules: one decoding a picture, cached by content."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from curate.checks.measures.artwork import Artwork, artwork
from curate.checks.measures.lettering import Lettering, Repetition, repetition, rows_of_letters
from curate.checks.measures.picture import SIDE, Picture
from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.cache import RowCache, in_shards
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image

VERSION = "1"  # another one where a measure gives other numbers than before


class Light(NamedTuple):
    """Grey values, 0 to 255."""

    shadow: float  # 5 % of the pixels stay below it
    highlight: float  # and 99 % below this one


class Structure(NamedTuple):
    structure: float


class Sharpness(NamedTuple):
    sharpness: float


def light(picture: Picture) -> Light:
    """How bright the darkest and the brightest parts are: percentiles 5 and 99 of the grey values."""
    shadow, highlight = np.percentile(picture.grey, (5, 99))
    return Light(float(shadow), float(highlight))


def structure(picture: Picture) -> Structure:
    """What there is to see: the standard deviation, in grey values, of the picture at 64 x 64 without soft light.

    Entropy, the usual measure, is as low for a good photograph before white as for a blank page with JPEG's noise.
    """
    small = Image.fromarray(picture.grey).resize((64, 64), Image.Resampling.BOX)
    grey = np.asarray(small)
    return Structure(float((grey - gaussian_filter(grey, 8)).std()))


def sharpness(picture: Picture) -> Sharpness:
    """Strength of the finest structure beside that of structure twice as coarse, along the axis where it is weaker.

    The root of the ratio of energies of two octaves (differences of Gaussians of 0.7, 1.4 and 2.8 pixels along one
    axis; Marr and Hildreth, Theory of edge detection, 1980). Contrast cancels out. A photograph in focus has about
    0.7, whatever it shows; what was blurred or enlarged has about 0.4, also when JPEG's blocks were laid over it, and
    so has motion blur, which takes the fine structure of one axis only. A blank page has 1.
    """
    return Sharpness(min(_octaves(picture.grey, 0), _octaves(picture.grey, 1)))


def _octaves(grey: np.ndarray, axis: int) -> float:
    fine, middle, coarse = (gaussian_filter1d(grey, sigma, axis=axis, truncate=3.0) for sigma in (0.7, 1.4, 2.8))
    weak, strong = float(np.square(fine - middle).mean()), float(np.square(middle - coarse).mean())
    return float(np.sqrt((weak + 1e-3) / (strong + 1e-3)))


# What each measure gives, and the measure. The fields' names are those of the numbers, here and in the cache.
MEASURES: dict[type[NamedTuple], Callable[[Picture], NamedTuple]] = {
    Light: light,
    Structure: structure,
    Sharpness: sharpness,
    Artwork: artwork,
    Lettering: rows_of_letters,
    Repetition: repetition,
}
NAMES = tuple(name for numbers in MEASURES for name in numbers._fields)


def measure(image: Image.Image) -> dict[str, float]:
    """All numbers of an RGB picture of any size, by NAMES."""
    picture = Picture.of(image)
    return {name: value for each in MEASURES.values() for name, value in each(picture)._asdict().items()}


def measurements(collection: Collection, images: pd.DataFrame, workers: int) -> pd.DataFrame:
    """The numbers of `images` (rows of the image table), in their order and with their index: columns NAMES, float64.

    Only what the cache lacks is decoded. What cannot be read any more is named on the terminal and has NaN.
    workers: threads.
    """
    cache = RowCache(cache_folder(collection))
    lacking = cache.missing(images["id"])
    if lacking:
        _measure(collection, images.drop_duplicates("id").set_index("id").loc[lacking], cache, workers)
    known = [content_id for content_id in images["id"].unique() if content_id in cache]
    numbers = pd.DataFrame(cache.take(known).reshape(-1, len(NAMES)), index=known, columns=list(NAMES))
    return numbers.reindex(images["id"]).set_index(images.index)


def missing(collection: Collection, images: pd.DataFrame) -> pd.DataFrame:
    """Of `images` those whose numbers the cache lacks, each picture once."""
    lacking = RowCache(cache_folder(collection)).missing(images["id"])
    return images[images["id"].isin(lacking)].drop_duplicates("id")


def cache_folder(collection: Collection) -> Path:
    """Another folder for another set of measures."""
    return collection.cache("measurements", f"{VERSION}-{hashlib.sha256(' '.join(NAMES).encode()).hexdigest()[:8]}")


def _measure(collection: Collection, images: pd.DataFrame, cache: RowCache, workers: int) -> None:
    """Measure images into the cache. images: rows of the image table, by content id."""
    unreadable = []

    def numbers(key: str, content_id: str, file: str) -> dict[str, float] | str:
        try:
            content = originals.read(collection, file, content_id)
            return measure(open_image(content, limits=NO_LIMITS, draft=(SIDE, SIDE)).image)
        except Unreadable as problem:
            return f"{key}: {problem}"

    with console.progress("measuring", len(images)) as advance, ThreadPoolExecutor(workers) as pool:
        for ids in in_shards(list(images.index)):
            rows = images.loc[ids]
            found: dict[str, list[float]] = {}
            for content_id, said in zip(ids, pool.map(numbers, rows["key"], ids, rows["file"]), strict=True):
                if isinstance(said, str):
                    unreadable.append(said)
                else:
                    found[content_id] = [said[name] for name in NAMES]
                advance(1)
            cache.add(list(found), np.array(list(found.values()), np.float64))
    if unreadable:
        console.note(f"{console.count(len(unreadable), 'image')} cannot be measured, such as {unreadable[0]}")
