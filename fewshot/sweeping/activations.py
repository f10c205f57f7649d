"""What goes into the last blocks of a frozen image tower, computed once for every image and kept in the collection.

A folder of shards in its cache: an array that is memory-mapped, and its index (ids, checksum), written last. A damaged
one is made again.
"""

import json
import zlib
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from curate.collection.directory import Collection
from curate.foundation import atomic, console
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models.clip_models import ClipModel
from fewshot.training import frozen_trunk

SHARD = 512  # images a shard: what an interruption can lose


class ActivationCache:
    """Keyed as the embeddings are, by model, weights, precision, transform and content; and by blocks and mirroring."""

    def __init__(
        self, collection: Collection, clip: ClipModel, transform: Transform, blocks: int, *, mirrored: bool
    ) -> None:
        """Raises UsageError where the model doesn't have so many blocks."""
        frozen_trunk.cut(clip.frozen_encoder(), blocks)
        self.clip, self.blocks, self.mirrored = clip, blocks, mirrored
        name = f"{clip.name.replace('/', '-')}-{clip.image_digest}-{clip.precision}-{transform.name}"
        self.folder = collection.cache("activations", f"{name}-last{blocks}{'-mirrored' if mirrored else ''}")
        self._shards: list[np.ndarray] = []
        self._places: dict[str, tuple[int, int]] = {}
        for index in sorted(self.folder.glob("[!.]*.json")):
            self._open(index)

    def fill(self, images: pd.DataFrame, pixels: PixelCache) -> None:
        """Compute what is missing for `images` (rows of the image table), whose pixels are there."""
        missing = [image for image in dict.fromkeys(images["id"]) if image not in self._places]
        if not missing:
            return
        with console.progress(f"the frozen part of {self.clip.name}", len(missing)) as advance:
            for start in range(0, len(missing), SHARD):
                ids = missing[start : start + SHARD]
                computed = frozen_trunk.compute(self.clip, self.blocks, pixels.take(ids), mirrored=self.mirrored)
                self._write(ids, _as_array(computed))
                advance(len(ids))

    def take(self, ids: Iterable[str]) -> Tensor:
        """(n, ...) in the frozen tower's precision, on the CPU. Raises KeyError for an image that was never filled."""
        places = [self._places[image] for image in ids]
        taken = np.stack([self._shards[shard][row] for shard, row in places])
        tensor = torch.from_numpy(taken)
        return tensor.view(torch.bfloat16) if taken.dtype == np.int16 else tensor

    def _write(self, ids: list[str], values: np.ndarray) -> None:
        # Named by content: two processes that fill one cache write the same files.
        name = blake2b("".join(ids).encode(), digest_size=8).hexdigest()
        with atomic.replacing(self.folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, values)
        index = self.folder / f"{name}.json"
        atomic.write_json(index, {"ids": ids, "crc32": zlib.crc32(values.data)})
        self._open(index)

    def _open(self, index: Path) -> None:
        values = _read(index)
        if values is None:
            for suffix in (".json", ".npy"):
                index.with_suffix(suffix).unlink(missing_ok=True)
            return
        ids, array = values
        self._places |= {image: (len(self._shards), row) for row, image in enumerate(ids)}
        self._shards.append(array)


def _read(index: Path) -> Any:
    """The ids and the array of a shard, or None where it isn't whole."""
    try:
        described = json.loads(index.read_bytes())
        array = np.lib.format.open_memmap(index.with_suffix(".npy"), mode="r")
        whole = len(array) == len(described["ids"]) and zlib.crc32(array.data) == described["crc32"]
        return (described["ids"], array) if whole else None
    except Exception:  # whatever damaged bytes make the readers raise
        return None


def _as_array(values: Tensor) -> np.ndarray:
    """numpy has no bf16: its bits, as int16."""
    contiguous = values.contiguous()
    return (contiguous.view(torch.int16) if values.dtype == torch.bfloat16 else contiguous).numpy()
