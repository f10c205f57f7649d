"""Every image decoded once: a memory-mapped uint8 cache, keyed by content and transform."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.cache import RowCache, in_shards
from curate.foundation.errors import FewposeError
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image
from curate.images.transform import Transform


class PixelCache:
    """The pixels of a collection's images. `fill` makes what is missing; `take` reads."""

    def __init__(self, collection: Collection, transform: Transform) -> None:
        self.collection = collection
        self.transform = transform
        self._rows = RowCache(collection.cache("pixels", transform.name))

    def fill(self, images: pd.DataFrame) -> None:
        """Decode the images (rows of the image table) that the cache lacks, after checking what it has.

        Raises FewposeError naming the first image whose file is gone or has changed since it was imported.
        """
        missing = self._rows.missing(images["id"])
        if not missing:
            return
        files = images.drop_duplicates("id").set_index("id")[["key", "file"]]
        with console.progress("decoding", len(missing)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
            for ids in in_shards(missing):
                part, rows = files.loc[ids], []
                for pixels in pool.map(self._decode, part["key"], part["file"], ids):
                    rows.append(pixels)
                    advance(1)
                self._rows.add(ids, np.stack(rows))

    def take(self, ids: Iterable[str]) -> np.ndarray:
        """The pixels of `ids`, in their order: (n, size, size, 3) uint8. Raises KeyError for one never filled."""
        size = self.transform.size
        return self._rows.take(ids).reshape(-1, size, size, 3).astype(np.uint8, copy=False)  # of none, too

    def _decode(self, key: str, file: str, image_id: str) -> np.ndarray:
        try:
            content = originals.read(self.collection, file, image_id)
            return self.transform.apply(open_image(content, limits=NO_LIMITS, draft=self.transform.draft_size()).image)
        except Unreadable as error:
            raise FewposeError(
                f"{key}: {self.collection.root / file} can't be read ({error}); put the old file back, or import the "
                "folder into a new collection"
            ) from error
