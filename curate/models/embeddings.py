"""Image features of a frozen model, computed once per image: keyed by model, weights, transform and content.

The cache is a folder of shards (`*.npz`: ids, features), each renamed into place when whole; the zip format's own
checksums, read before anything else, tell a damaged one, which is made again.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models.clip_models import ClipModel

SHARD = 512  # images a shard: what an interruption can lose


def embed(collection: Collection, images: pd.DataFrame, clip: ClipModel, *, fit: str = "crop") -> np.ndarray:
    """The features of `images` (rows of the image table), in their order: (n, d) float32, not normalised.

    Only what the cache lacks is decoded and computed. Raises FewposeError where there are no images.
    """
    if images.empty:
        raise FewposeError(f"{collection.root} has no images yet; curate import PHOTOS {collection.root}")
    transform = Transform(clip.image_size, fit)
    folder = cache_folder(collection, clip, transform)
    known = _read_shards(folder)
    missing = images[~images["id"].isin(known.keys())].drop_duplicates("id")
    if not missing.empty:
        pixels = PixelCache(collection, transform)
        pixels.fill(missing)
        with console.progress(f"embedding with {clip.name}", len(missing)) as advance:
            for start in range(0, len(missing), SHARD):
                ids = list(missing["id"].iloc[start : start + SHARD])
                features = clip.encode_images(pixels.take(ids))
                _write_shard(folder, ids, features)
                known.update(zip(ids, features, strict=True))
                advance(len(ids))
    return np.stack([known[image] for image in images["id"]])


def missing(collection: Collection, images: pd.DataFrame, clip: ClipModel, *, fit: str = "crop") -> pd.DataFrame:
    """Of `images` those whose features the cache lacks, each picture once."""
    known = _read_shards(cache_folder(collection, clip, Transform(clip.image_size, fit)))
    return images[~images["id"].isin(known.keys())].drop_duplicates("id")


def cache_folder(collection: Collection, clip: ClipModel, transform: Transform) -> Path:
    name = clip.name.replace("/", "-")
    return collection.cache("embeddings", f"{name}-{clip.image_digest}-{clip.precision}-{transform.name}")


def _write_shard(folder: Path, ids: list[str], features: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array(ids), features=features)
    name = hashlib.blake2b("".join(ids).encode(), digest_size=8).hexdigest()
    atomic.write_bytes(folder / f"{name}.npz", buffer.getvalue())


def _read_shards(folder: Path) -> dict[str, np.ndarray]:
    known: dict[str, np.ndarray] = {}
    for shard in sorted(folder.glob("[!.]*.npz")):
        try:
            known.update(_read_shard(shard))
        except Exception:  # whatever damaged bytes make the readers raise
            shard.unlink(missing_ok=True)
    return known


def _read_shard(shard: Path) -> dict[str, np.ndarray]:
    content = shard.read_bytes()
    # A damaged header makes np.load read less than there is, and then it compares no checksum.
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(zip(arrays["ids"].tolist(), arrays["features"], strict=True))
