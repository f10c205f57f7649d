"""Rows of numbers that were computed from images: kept by content id, computed once, believed only when whole.

A cache is a folder, named by all that its rows were computed from beside the content: a transform, a model's weights, a
version. It holds shards: an array `NAME.npy` (n, ...), which is memory-mapped, and, written after it, `NAME.json` with
the ids of its rows, their type and shape, and a checksum; without a matching one the array is not believed. Each file
appears whole or not at all, so that what is killed loses one shard at most. Whatever is deleted is made again.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.foundation import atomic, json_files
from curate.foundation.errors import FewposeError
from curate.foundation.inside import is_file

SHARD = 512  # rows: 77 MB of pixels at 224 px, and what an interruption can lose


class CannotWrite(FewposeError):
    """A cache can't be written to. Nothing is wrong with what it is made of, so nothing goes on without it."""


@contextmanager
def explaining_cache_errors(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block, which writes into a cache in `folder`, into a CannotWrite that says what to do."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"the cache {folder} can't be written to ({error.strerror or error}); make room or make it writable, or "
            "name another folder for caches: --cache DIR, or FEWPOSE_CACHE in the environment"
        ) from error


@dataclass
class _Shard:
    rows: np.ndarray  # memory-mapped
    crc32: int  # as its .json promises it
    checked: bool = False  # whether the rows have been compared with it


class RowCache:
    """`missing` tells what is to be computed, `add` keeps it, `take` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: dict[str, _Shard] = {}
        self._places: dict[str, tuple[str, int]] = {}  # id -> shard, row
        atomic.remove_unfinished(folder)
        for index in sorted(folder.glob("[!.]*.json")):
            self._open(index)

    def __contains__(self, content_id: str) -> bool:
        return content_id in self._places

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that are not here, each once, in their order.

        What is here of them is compared with its checksums, however often that was done; damaged shards are deleted.
        """
        wanted = list(dict.fromkeys(ids))
        self._drop_damaged(wanted, again=True)
        return [content_id for content_id in wanted if content_id not in self._places]

    def add(self, ids: Sequence[str], rows: np.ndarray) -> None:
        """Keep `rows` (n, ...), one an id, as a shard. Raises CannotWrite."""
        if len(ids) != len(rows):
            raise ValueError(f"{len(ids)} ids and {len(rows)} rows")
        if not ids:
            return
        rows = np.ascontiguousarray(rows)
        # Named by the ids: two processes that fill one cache write the same files. Where they have computed other rows,
        # an array may end up beside the other's index: then it does not count, and is computed again.
        name, checksum = _name(ids), zlib.crc32(rows.data)
        with explaining_cache_errors(self.folder):
            with atomic.replacing(self.folder / f"{name}.npy") as temporary:
                with temporary.open("wb") as file:
                    # As np.save, which tells a full disk by an OSError without a number.
                    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rows))
                    file.write(rows.data)
                kept = np.lib.format.open_memmap(temporary, mode="r")  # stays, should somebody delete the file
            described = {"dtype": rows.dtype.str, "shape": rows.shape[1:], "crc32": checksum}
            # Each of its entries is compared with the array, or with the file's name: it needs no seal.
            atomic.write_json(self.folder / f"{name}.json", {"ids": list(ids)} | described)
        self._hold(name, ids, _Shard(kept, checksum, checked=True))

    def take(self, ids: Iterable[str]) -> np.ndarray:
        """The rows of `ids`, in their order: (n, ...), the caller's own; (0,) of none.

        Raises KeyError for one that is not here, or is damaged.
        """
        wanted = list(ids)
        self._drop_damaged(wanted, again=False)
        places = [self._places[content_id] for content_id in wanted]
        if not places:
            return np.empty(0)
        like = self._shards[places[0][0]].rows
        taken = np.empty((len(places), *like.shape[1:]), like.dtype)
        for position, (name, row) in enumerate(places):
            taken[position] = self._shards[name].rows[row]
        return taken

    def merge(self, ids: Sequence[str]) -> None:
        """Put the rows of `ids` into one shard, and delete the shards that hold nothing else.

        Each shard is an open file: many small ones would be more than a process may have open. Raises as take and add.
        """
        before = {self._places[content_id][0] for content_id in ids}
        if len(before) < 2:
            return
        self.add(ids, self.take(ids))
        for name in before - {name for name, _ in self._places.values()}:
            self._remove(name)

    def _open(self, index: Path) -> None:
        array = index.with_suffix(".npy")
        if not (is_file(index) and is_file(array)):  # a pipe would be waited for, and a link leads elsewhere
            self._remove(index.stem)
            return
        try:
            described = json_files.read(index)
            ids, dtype, shape = described["ids"], described["dtype"], described["shape"]
            rows = np.lib.format.open_memmap(array, mode="r")
            promised = (index.stem, [len(ids), *shape], dtype, True)
            whole = (_name(ids), list(rows.shape), rows.dtype.str, rows.flags.c_contiguous) == promised
            shard = _Shard(rows, described["crc32"])
        except Exception:  # noqa: BLE001  (whatever damaged bytes make the readers raise)
            whole = False
        if not whole:
            self._remove(index.stem)
            return
        self._hold(index.stem, ids, shard)

    def _hold(self, name: str, ids: Sequence[str], shard: _Shard) -> None:
        self._shards[name] = shard
        self._places.update({content_id: (name, row) for row, content_id in enumerate(ids)})

    def _drop_damaged(self, wanted: Sequence[str], *, again: bool) -> None:
        """Compare the shards of wanted rows with their checksums; forget and delete those that differ."""
        for name in {self._places[content_id][0] for content_id in wanted if content_id in self._places}:
            shard = self._shards[name]
            if again or not shard.checked:
                shard.checked = True
                if zlib.crc32(shard.rows.data) != shard.crc32:
                    self._remove(name)

    def _remove(self, name: str) -> None:
        self._shards.pop(name, None)
        self._places = {content_id: place for content_id, place in self._places.items() if place[0] != name}
        for suffix in (".json", ".npy"):
            with suppress(OSError):  # on a disk that can't be written to it stays, and counts as little
                (self.folder / f"{name}{suffix}").unlink()


def in_shards(ids: Sequence[str]) -> Iterator[list[str]]:
    """`ids` in parts of SHARD: what is computed before it is added."""
    for start in range(0, len(ids), SHARD):
        yield list(ids[start : start + SHARD])


def _name(ids: Sequence[str]) -> str:
    return hashlib.blake2b("".join(ids).encode(), digest_size=8).hexdigest()
