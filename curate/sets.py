"""Training sets: pure functions of a collection, each with a digest of what it holds."""

import hashlib
from dataclasses import dataclass

import pandas as pd

from curate.collection import Collection
from curate.errors import UsageError

NAMES = ("unfiltered", "filtered")


@dataclass(frozen=True)
class TrainingSet:
    """`images`: rows of the image table. `digest`: 16 hex digits over the ids and labels, whatever the files' names."""

    name: str
    images: pd.DataFrame
    digest: str


def training_set(collection: Collection, name: str) -> TrainingSet:
    """The training set `name` of a collection.

    unfiltered: every readable image. filtered: without what the collection itself proves wrong, which is all but
    the best copy of each picture in a class, and every picture whose bytes stand under two labels.
    Raises UsageError for an unknown name.
    """
    images = collection.images()
    if name == "filtered":
        images = _best_copies(_without_conflicts(images))
    elif name != "unfiltered":
        raise UsageError(f"there is no training set {name!r}; there are {' and '.join(NAMES)}")
    return TrainingSet(name, images, digest(images))


def digest(images: pd.DataFrame) -> str:
    lines = sorted(images["id"] + " " + images["label"])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _without_conflicts(images: pd.DataFrame) -> pd.DataFrame:
    labels = images.groupby("id")["label"].transform("nunique")
    return images[labels == 1]


def _best_copies(images: pd.DataFrame) -> pd.DataFrame:
    """One image of each group and label: most pixels, then most bytes, then by content; never by order of import."""
    pixels = images["width"] * images["height"]
    order = images.assign(pixels=-pixels, weight=-images["bytes"]).sort_values(["pixels", "weight", "id", "key"])
    best = order.drop_duplicates(["group", "label"]).index
    return images.loc[images.index.isin(best)]
