"""Every image decoded once: a memory-mapped uint8 cache, keyed by content and transform.

The cache is a folder of shards. A shard is an array `NAME.npy` (n, size, size, 3) and, written after it,
`NAME.json` with the ids of its rows and a checksum: without a matching one the array is not believed.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError
from curate.images.decoding import NO_LIMITS, Unreadable, open_image, read_file
from curate.images.transform import Transform

SHARD = 512  # images a shard: 77 MB at 224 px, and what an interruption can lose


class PixelCache:
    """The pixels of a collection's images. `fill` makes what is missing; `take` reads."""

    def __init__(self, collection: Collection, transform: Transform) -> None:
        self.collection = collection
        self.transform = transform
        self.folder = collection.cache("pixels", transform.name)
        self._shards: dict[str, np.ndarray] = {}
        self._checksums: dict[str, int] = {}  # of the shards, as their .json promises them
        self._rows: dict[str, tuple[str, int]] = {}  # id -> shard, row
        self._read_index()

    def fill(self, images: pd.DataFrame) -> None:
        """Decode the images (rows of the image table) that the cache lacks, after checking what it has.

        Raises FewposeError naming the first image whose file is gone or has changed since it was imported.
        """
        self._drop_damaged(set(images["id"]))
        missing = images[~images["id"].isin(self._rows.keys())].drop_duplicates("id")
        if missing.empty:
            return
        with console.progress("decoding", len(missing)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(missing), SHARD):
                part = missing.iloc[start : start + SHARD]
                rows = []
                for pixels in pool.map(self._decode, part["key"], part["file"], part["id"]):
                    rows.append(pixels)
                    advance(1)
                self._write_shard(list(part["id"]), np.stack(rows))

    def take(self, ids: Iterable[str]) -> np.ndarray:
        """The pixels of `ids`, in their order: (n, size, size, 3) uint8. Raises KeyError for one never filled."""
        places = [self._rows[image] for image in ids]
        taken = np.empty((len(places), self.transform.size, self.transform.size, 3), np.uint8)
        for position, (shard, row) in enumerate(places):
            taken[position] = self._shards[shard][row]
        return taken

    def _decode(self, key: str, file: str, image_id: str) -> np.ndarray:
        path = self.collection.path(file)
        way_out = "put the old file back, or import the folder into a new collection"
        try:
            content = read_file(path, NO_LIMITS)
            if hashlib.sha256(content).hexdigest() != image_id:
                raise FewposeError(f"{key}: {path} has changed since it was imported; {way_out}")
            # The import's limits, which may have been raised, let these bytes in.
            return self.transform.apply(open_image(content, limits=NO_LIMITS, draft=self.transform.draft_size()).image)
        except Unreadable as error:
            raise FewposeError(f"{key}: {path} can't be read ({error}); {way_out}") from error

    def _write_shard(self, ids: list[str], pixels: np.ndarray) -> None:
        # Named by content: two processes that fill one cache write the same files.
        name = _name(ids)
        with atomic.replacing(self.folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, pixels)
        atomic.write_json(self.folder / f"{name}.json", {"ids": ids, "crc32": zlib.crc32(pixels.data)})
        self._add_shard(self.folder / f"{name}.json")

    def _read_index(self) -> None:
        for index in sorted(self.folder.glob("[!.]*.json")):
            self._add_shard(index)

    def _add_shard(self, index: Path) -> None:
        try:
            described = json.loads(index.read_bytes())
            ids, checksum = described["ids"], described["crc32"]
            pixels = np.lib.format.open_memmap(index.with_suffix(".npy"), mode="r")
            promised = (index.stem, (len(ids), self.transform.size, self.transform.size, 3), np.uint8, True)
            whole = (_name(ids), pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == promised
        except Exception:  # whatever damaged bytes make the readers raise
            whole = False
        if not whole:
            self._remove(index.stem)
            return
        self._shards[index.stem] = pixels
        self._checksums[index.stem] = checksum
        self._rows.update({image: (index.stem, row) for row, image in enumerate(ids)})

    def _drop_damaged(self, wanted: set[str]) -> None:
        """Compare the checksum of each shard that holds a wanted image; forget and delete those that differ."""
        for name in {self._rows[image][0] for image in wanted if image in self._rows}:
            if zlib.crc32(self._shards[name].data) != self._checksums[name]:
                self._remove(name)

    def _remove(self, name: str) -> None:
        self._shards.pop(name, None)
        self._checksums.pop(name, None)
        self._rows = {image: place for image, place in self._rows.items() if place[0] != name}
        for suffix in (".json", ".npy"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)


def _name(ids: list[str]) -> str:
    return hashlib.blake2b("".join(ids).encode(), digest_size=8).hexdigest()
