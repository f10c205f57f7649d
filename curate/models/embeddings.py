"""Image features of a frozen model, computed once per image: keyed by model, weights, transform and content."""

from pathlib import Path

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.cache import RowCache, in_shards
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models.clip_models import ClipModel


def embed(collection: Collection, images: pd.DataFrame, clip: ClipModel, *, fit: str = "crop") -> np.ndarray:
    """The features of `images` (rows of the image table), in their order: (n, d) float32, not normalised.

    Only what the cache lacks is decoded and computed. Raises FewposeError where there are no images.
    """
    if images.empty:
        raise FewposeError(
            f"{collection.root} has no images yet; {command_line('curate', 'import', 'PHOTOS', collection.root)}"
        )
    transform = Transform(clip.image_size, fit)
    cache = RowCache(cache_folder(collection, clip, transform))
    lacking = cache.missing(images["id"])
    if lacking:
        pixels = PixelCache(collection, transform)
        pixels.fill(images[images["id"].isin(lacking)])
        with console.progress(f"embedding with {clip.name}", len(lacking)) as advance:
            for ids in in_shards(lacking):
                cache.add(ids, clip.encode_images(pixels.take(ids)))
                advance(len(ids))
    return cache.take(images["id"])


def missing(collection: Collection, images: pd.DataFrame, clip: ClipModel, *, fit: str = "crop") -> pd.DataFrame:
    """Of `images` those whose features the cache lacks, each picture once."""
    lacking = RowCache(cache_folder(collection, clip, Transform(clip.image_size, fit))).missing(images["id"])
    return images[images["id"].isin(lacking)].drop_duplicates("id")


def cache_folder(collection: Collection, clip: ClipModel, transform: Transform) -> Path:
    """Where the features that a model gives pictures after this transform are kept."""
    return collection.cache("embeddings", key(clip, transform))


def key(clip: ClipModel, transform: Transform) -> str:
    """All that what a frozen model computes of an image depends on, beside the image: a folder's name."""
    return f"{clip.name.replace('/', '-')}-{clip.image_digest}-{clip.precision}-{transform.name}"
