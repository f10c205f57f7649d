"""The pictures that the App may show: those of the image table, as long as their bytes are what the table says.

So neither a row of somebody else's table that names /etc/passwd nor a file that became a link shows any other file.
"""

import hashlib
import os
import stat
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from curate.app.guard import Picture
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError


class _Known(NamedTuple):
    id: str
    size: int
    media_type: str


class Pictures:
    """Call it with a sample's `filepath`. It follows the table, which other commands may replace while the App runs."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._table = collection.root / "images.parquet"
        self._lock = Lock()  # it is called from several threads
        self._state: tuple[int, ...] = ()
        self._known: dict[str, _Known] = {}

    def __call__(self, filepath: str) -> Picture | None:
        """None where the table has no such file, or the file has other bytes than when it was imported."""
        known = self._rows().get(filepath)
        content = _read(filepath, known.size) if known else None
        if not known or content is None or hashlib.sha256(content).hexdigest() != known.id:
            return None
        return Picture(content, known.media_type, known.id)

    def _rows(self) -> dict[str, _Known]:
        with self._lock:
            with suppress(OSError, FewposeError):  # a damaged table says nothing new
                now = self._table.stat()
                state = (now.st_ino, now.st_size, now.st_mtime_ns)
                if state != self._state:
                    self._known, self._state = _rows(self._collection), state
            return self._known


def _rows(collection: Collection) -> dict[str, _Known]:
    images = collection.images()
    known = {}
    for file, id_, size, form in zip(*(images[name] for name in ("file", "id", "bytes", "format")), strict=True):
        with suppress(FewposeError):  # of a path that leads out of the collection
            known[str(collection.path(file).absolute())] = _Known(id_, size, _media_type(form))
    return known


def _media_type(form: str) -> str:
    """From Pillow's name of a format. The table may be anybody's, and this becomes a header."""
    if form == "MPO":  # several JPEGs in a row, of which browsers show the first
        return "image/jpeg"
    return f"image/{form.lower()}" if form.isascii() and form.isalnum() else "application/octet-stream"


def _read(filepath: str, size: int) -> bytes | None:
    """The bytes of a regular file of `size` bytes; None where there is none."""

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for

    try:
        with open(filepath, "rb", opener=opener) as file:  # which Path.open does not have
            now = os.fstat(file.fileno())
            return file.read(size) if stat.S_ISREG(now.st_mode) and now.st_size == size else None
    except (OSError, ValueError):
        return None
