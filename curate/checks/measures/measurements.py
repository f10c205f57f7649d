"""Numbers about how each picture looks, for the rules: one decoding a picture, cached by content.

The cache is a folder of parts (Parquet: an id and the numbers of each picture), each renamed into place when whole, so
an interruption loses a few seconds. It can be deleted; a damaged part counts as absent.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from curate.checks.measures.artwork import artwork
from curate.checks.measures.lettering import repetition, rows_of_letters
from curate.collection.directory import Collection
from curate.foundation import atomic, console
from curate.images.decoding import NO_LIMITS, Cause, Unreadable, open_image, read_file

VERSION = "1"  # where a measure gives other numbers than before, it is another one

SIDE = 384  # pixels: the long side of what is measured; smaller pictures are measured as they are

_PART = 512  # pictures in a part of the cache: what an interruption can lose


@dataclass(frozen=True)
class Picture:
    """A picture of at most SIDE x SIDE pixels, as the measures see it."""

    rgb: np.ndarray  # (height, width, 3) uint8
    grey: np.ndarray  # (height, width) float32, 0 to 255


def light(picture: Picture) -> dict[str, float]:
    """Grey values, 0 to 255, that 5 % of the pixels stay below, and 99 %."""
    shadow, highlight = np.percentile(picture.grey, (5, 99))
    return {"shadow": float(shadow), "highlight": float(highlight)}


def structure(picture: Picture) -> dict[str, float]:
    """What there is to see: the standard deviation, in grey values, of the picture at 64 x 64 without soft light.

    Entropy, the usual measure, is as low for a good photograph before white as for a blank page with JPEG's noise.
    """
    small = Image.fromarray(picture.grey).resize((64, 64), Image.Resampling.BOX)
    grey = np.asarray(small)
    return {"structure": float((grey - gaussian_filter(grey, 8)).std())}


def sharpness(picture: Picture) -> dict[str, float]:
    """Strength of the finest structure beside that of structure twice as coarse, along the axis where it is weaker.

    The root of the ratio of energies of two octaves (differences of Gaussians of 0.7, 1.4 and 2.8 pixels along one
    axis; Marr and Hildreth, Theory of edge detection, 1980). Contrast cancels out. A photograph in focus has about
    0.7, whatever it shows; what was blurred or enlarged has about 0.4, also when JPEG's blocks were laid over it, and
    so has motion blur, which takes the fine structure of one axis only. A blank page has 1.
    """
    return {"sharpness": min(_octaves(picture.grey, 0), _octaves(picture.grey, 1))}


def _octaves(grey: np.ndarray, axis: int) -> float:
    fine, middle, coarse = (gaussian_filter1d(grey, sigma, axis=axis, truncate=3.0) for sigma in (0.7, 1.4, 2.8))
    weak, strong = float(np.square(fine - middle).mean()), float(np.square(middle - coarse).mean())
    return float(np.sqrt((weak + 1e-3) / (strong + 1e-3)))


# Each gives numbers of its own names.
MEASURES: tuple[Callable[[Picture], dict[str, float]], ...] = (
    light,
    structure,
    sharpness,
    artwork,
    rows_of_letters,
    repetition,
)


def measure(image: Image.Image) -> dict[str, float]:
    """All numbers of an RGB picture of any size."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    picture = Picture(np.asarray(small), np.asarray(small.convert("L"), dtype=np.float32))
    return {name: value for each in MEASURES for name, value in each(picture).items()}


NAMES = tuple(measure(Image.new("RGB", (16, 16))))  # of the numbers


def measurements(collection: Collection, images: pd.DataFrame, workers: int) -> pd.DataFrame:
    """The numbers of `images` (rows of the image table), in their order and with their index: columns NAMES, float64.

    Only what the cache lacks is decoded. What cannot be read any more is named on the terminal and has NaN.
    workers: threads.
    """
    folder = collection.cache("measurements", VERSION)
    known = _read(folder)
    missing = images[~images["id"].isin(known.index)].drop_duplicates("id")
    if not missing.empty:
        known = pd.concat([known, _measure_all(collection, missing, folder, workers)])
    return known.reindex(images["id"]).set_index(images.index)


def missing(collection: Collection, images: pd.DataFrame) -> pd.DataFrame:
    """Of `images` those whose numbers the cache lacks, each picture once."""
    known = _read(collection.cache("measurements", VERSION))
    return images[~images["id"].isin(known.index)].drop_duplicates("id")


def _measure_all(collection: Collection, images: pd.DataFrame, folder: Path, workers: int) -> pd.DataFrame:
    parts, unreadable = [_none()], []

    def numbers(key: str, content_id: str, file: str) -> dict[str, float] | str:
        try:
            return _measured(collection.path(file), content_id)
        except Unreadable as problem:
            return f"{key}: {problem}"

    with console.progress("measuring", len(images)) as advance, ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(images), _PART):
            rows = images.iloc[start : start + _PART]
            found: dict[str, dict[str, float]] = {}
            for content_id, said in zip(
                rows["id"], pool.map(numbers, rows["key"], rows["id"], rows["file"]), strict=True
            ):
                if isinstance(said, str):
                    unreadable.append(said)
                else:
                    found[content_id] = said
                advance(1)
            parts.append(_write(folder, found))
    if unreadable:
        console.err.print(
            f"{console.count(len(unreadable), 'image')} cannot be measured, such as {unreadable[0]}",
            markup=False,
            soft_wrap=True,
        )
    return pd.concat(parts)


def _measured(path: Path, content_id: str) -> dict[str, float]:
    """Raises Unreadable, also where the file has other bytes now."""
    content = read_file(path, NO_LIMITS)  # the import's limits, which may have been raised, let these bytes in
    if hashlib.sha256(content).hexdigest() != content_id:
        raise Unreadable(Cause.NO_ACCESS, f"{path} has changed since it was imported")
    return measure(open_image(content, limits=NO_LIMITS, draft=(SIDE, SIDE)).image)


def _write(folder: Path, numbers: dict[str, dict[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(numbers, orient="index", columns=list(NAMES)).rename_axis("id")
    if numbers:
        name = hashlib.blake2b("".join(numbers).encode(), digest_size=8).hexdigest()
        with atomic.replacing(folder / f"{name}.parquet") as temporary:
            table.reset_index().to_parquet(temporary, index=False)
    return table


def _read(folder: Path) -> pd.DataFrame:
    parts = [_none()]
    for file in sorted(folder.glob("[!.]*.parquet")):
        try:
            parts.append(pd.read_parquet(file).set_index("id")[list(NAMES)])
        except (OSError, ValueError, KeyError):  # damaged, or from before a measure was added
            file.unlink(missing_ok=True)
    known = pd.concat(parts)
    return known[~known.index.duplicated()]


def _none() -> pd.DataFrame:
    return pd.DataFrame(columns=list(NAMES), index=pd.Index([], name="id", dtype="str"), dtype=np.float64)
