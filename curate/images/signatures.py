"""What is kept of a picture once it was decoded: the facts for the image table, and a thumbnail to find its copies by.

Signatures are kept by content id, so that a picture is decoded once however often it is listed, under however many
keys. They lie on disk, one record after the other, and in memory only where each of them is: 100,000 pictures take 20
MB, not 400. Each is written as soon as its picture was decoded, so that a crash costs no second decoding. The folder
can be deleted; a record that is cut off or damaged counts as absent.
"""

import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from curate.foundation.cache import explaining_cache_errors
from curate.foundation.inside import NO_FOLLOW
from curate.images.decoding import DEFAULT_LIMITS, Limits, check_pixels, open_image

SIDE = 64  # of the thumbnail, pixels

VERSION = "2"  # another one where thumbnail, decoding or record change; older files are then not read

# A record: id, width, height, frames, format, mode, thumbnail, and the CRC-32 of all before it.
_RECORD = struct.Struct(f"<32s3I8s16s{SIDE * SIDE}sI")
_CHECKED = _RECORD.size - 4  # bytes
_THUMBNAIL = _CHECKED - SIDE * SIDE  # where it begins
_AT_ONCE = 1024  # records read from disk


@dataclass(frozen=True)
class Signature:
    width: int  # of the upright picture, pixels
    height: int
    format: str
    mode: str
    frames: int
    thumbnail: bytes  # SIDE x SIDE grey values, row by row: the whole picture, whatever its shape


def signature_of(content: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
    """Decode the whole of a picture, so that nothing damaged is accepted. Raises Unreadable."""
    # A JPEG at a fraction of its size is read to its end all the same, in a third of the time.
    decoded = open_image(content, limits=limits, draft=(2 * SIDE, 2 * SIDE), grey=True)
    # Lanczos: a copy at another size gives the same thumbnail; a box filter's would be shifted by parts of a pixel.
    thumbnail = decoded.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Signature(decoded.width, decoded.height, decoded.format, decoded.mode, decoded.frames, thumbnail.tobytes())


class HasCache(Protocol):
    """The part of a collection that signatures need, so that workers of a download need not import its pandas."""

    def cache(self, *parts: str) -> Path: ...


class Signatures:
    """The signatures of a collection by content id. Its owner holds `Collection.locked`: there is one writer."""

    def __init__(self, collection: HasCache) -> None:
        """Raises cache.CannotWrite."""
        file = collection.cache("signatures", VERSION, "records")
        self._folder = file.parent
        with explaining_cache_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._adding = threading.Lock()
        self._place: dict[bytes, int] = {}  # content id: number of its record
        self._count = 0  # records in the file, damaged ones among them
        while len(block := self._read(self._count * _RECORD.size, _AT_ONCE * _RECORD.size)) >= _RECORD.size:
            for start in range(0, len(block) - _CHECKED, _RECORD.size):
                record = block[start : start + _RECORD.size]
                if zlib.crc32(record[:_CHECKED]) == int.from_bytes(record[_CHECKED:], "little"):
                    self._place[record[:32]] = self._count
                self._count += 1

    def __enter__(self) -> "Signatures":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, content_id: str) -> bool:
        return bytes.fromhex(content_id) in self._place

    def __getitem__(self, content_id: str) -> Signature:
        """Raises KeyError."""
        place = self._place[bytes.fromhex(content_id)]
        record = self._read(place * _RECORD.size, _RECORD.size)
        _, width, height, frames, form, mode, thumbnail, _ = _RECORD.unpack(record)
        return Signature(width, height, _text(form), _text(mode), frames, thumbnail)

    def of(self, content_id: str, content: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
        """The signature of these bytes: the one that is kept, or a new one, which is then kept. Safe in threads.

        Raises Unreadable; a picture that passed other limits before must pass these now. Raises CannotWrite as `add`.
        """
        if content_id not in self:
            signature = signature_of(content, limits)
            self.add(content_id, signature)
            return signature
        known = self[content_id]
        check_pixels(known.width, known.height, limits)
        return known

    def add(self, content_id: str, signature: Signature) -> None:
        """Keep a signature, on disk; one that is known stays. Safe in threads. Raises cache.CannotWrite."""
        with self._adding, explaining_cache_errors(self._folder):
            if content_id in self:
                return
            # Right behind the last whole one: what a kill or a full disk cut off is written over.
            written = os.pwrite(self._file.fileno(), _packed(content_id, signature), self._count * _RECORD.size)
            if written < _RECORD.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._place[bytes.fromhex(content_id)] = self._count
            self._count += 1

    def close(self) -> None:
        self._file.close()

    def thumbnails(self, content_ids: Iterable[str]) -> "Thumbnails":
        """The thumbnails of these pictures, in this order. Raises KeyError for an id without a signature."""
        return Thumbnails(self, np.array([self._place[bytes.fromhex(i)] for i in content_ids], np.int64))

    def _thumbnail(self, place: int) -> bytes:
        return self._read(place * _RECORD.size + _THUMBNAIL, SIDE * SIDE)

    def _read(self, start: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, start)


class Thumbnails:
    """Thumbnails that stay on disk: uint8 (n, SIDE, SIDE) for a slice or an array of indices, while they are open."""

    def __init__(self, signatures: Signatures, places: np.ndarray) -> None:
        self._signatures = signatures
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        found = b"".join(self._signatures._thumbnail(place) for place in self._places[which].tolist())
        return np.frombuffer(found, np.uint8).reshape(-1, SIDE, SIDE)


def _packed(content_id: str, signature: Signature) -> bytes:
    s = signature
    fields = (s.width, s.height, s.frames, s.format.encode(), s.mode.encode(), s.thumbnail)
    record = _RECORD.pack(bytes.fromhex(content_id), *fields, 0)[:_CHECKED]
    return record + zlib.crc32(record).to_bytes(4, "little")


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode()
