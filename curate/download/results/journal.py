"""The journal: what became of each link, one line of JSON each, in COLLECTION/downloads.jsonl.

It only grows, so a run that is killed loses nothing that it had written. A row counts when its line is whole, newline
and all. The last row of a link counts, and of its copy in an archive.
"""

import errno
import os
import re
import time
from dataclasses import dataclass, fields
from pathlib import Path
from sys import intern
from typing import Any

from curate.download.web.outcome import Outcome
from curate.foundation import json_files
from curate.foundation.inside import NO_FOLLOW

NAME = "downloads.jsonl"  # in the collection
_SECONDS_BETWEEN_SYNCS = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """How asking for one link ended, after all its attempts."""

    url: str  # in normal form
    outcome: Outcome
    via: str = ""  # "", or "archive"
    detail: str = ""
    attempts: int = 1
    status: int = 0  # HTTP's, 0 where there was none
    final_url: str = ""  # after redirects, "" where nothing answered
    time: str = ""  # UTC when it ended, ISO 8601 to the second
    seconds: float = 0.0  # that its requests took, all attempts; kept to the millisecond
    robots: str = ""  # the X-Robots-Tag, where there was one
    id: str = ""  # of what is kept, as in the image table, and so are the next six
    bytes: int = 0
    width: int = 0  # also of what was refused for its size
    height: int = 0
    format: str = ""
    mode: str = ""
    frames: int = 0
    limit: int = 0  # the setting that refused it: bytes, pixels or shortest side

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", round(self.seconds, 3))  # what is read back is equal


_TYPES: dict[str, Any] = {field.name: field.type for field in fields(Row)}
_DEFAULTS = {field.name: field.default for field in fields(Row)}
_CONTENT_ID = re.compile("[0-9a-f]{64}")
_REPEATED = {"via", "detail", "time", "robots", "format", "mode"}  # one string in memory for all rows that have it


class Journal:
    """The rows of a journal, and more of them where it was opened, by the process that holds `Collection.locked`."""

    rows: dict[tuple[str, str], Row]  # (url, via): the last row of it
    lines: int  # that are whole
    damaged: int  # of them, those that make no row; what they said is lost
    first_damaged: int  # which line of the file is the first of them, from 1; 0 where there is none

    def __init__(self, path: Path) -> None:
        """What is written there, and nothing where there is no such file. Raises OSError where it cannot be read."""
        self.path = path
        self.rows = {}
        self.lines = 0
        self.damaged = self.first_damaged = 0
        self._size = 0  # bytes of whole lines
        self._descriptor: int | None = None
        self._synced = time.monotonic()
        if path.exists():
            self._read()

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """For readers, also while a download writes: a line that is just being written does not count."""
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """For writing. The line that a kill cut off is cut away. Raises OSError."""
        journal = cls(path)
        journal._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o666)
        os.ftruncate(journal._descriptor, journal._size)
        return journal

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def damage(self) -> str:
        """What is wrong with the file, as the beginning of a sentence."""
        if not self.damaged:
            return f"{self.path} lacks lines that there were"
        lines = f"{self.damaged} damaged lines" if self.damaged > 1 else "1 damaged line"
        return f"{self.path}, line {self.first_damaged}: {lines} passed over"

    def append(self, row: Row) -> None:
        """Write a row down; it survives a kill at once, and a power cut within a second and the next row.

        Raises OSError, of a full disk say; the journal is then as it was.
        """
        if self._descriptor is None:
            raise ValueError(f"{self.path} is open for reading only, or closed")
        line = _line(row)
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            os.ftruncate(self._descriptor, self._size)  # half a row must not join the next one
            raise
        self._size += len(line)
        self.lines += 1
        self.rows[row.url, row.via] = row
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self._sync(self._descriptor)

    def close(self) -> None:
        """Have everything on disk. The rows can still be read. Raises OSError."""
        if self._descriptor is None:
            return
        try:
            self._sync(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = None

    def _sync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self._synced = time.monotonic()

    def _read(self) -> None:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                self._size += len(line)
                self.lines += 1
                row = _row(line)
                if row is None:
                    self.damaged += 1
                    self.first_damaged = self.first_damaged or number
                else:
                    self.rows[row.url, row.via] = row


def _line(row: Row) -> bytes:
    """Values that are defaults are left out, which most are."""
    values = {field.name: getattr(row, field.name) for field in fields(Row)}
    told = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
    return json_files.line(told)


def _row(line: bytes) -> Row | None:
    """The row of a line, or None where it makes none: damaged, or with an outcome that a newer version knows.

    Fields that a newer version added are passed over.
    """
    try:
        told = {name: value for name, value in json_files.parse_line(line).items() if name in _TYPES}
        told["outcome"] = Outcome(told["outcome"])
        if not all(isinstance(value, _TYPES[name]) for name, value in told.items()):
            return None
        if "id" in told and not _CONTENT_ID.fullmatch(told["id"]):  # it becomes a part of a file's name
            return None
        for name in _REPEATED & told.keys():
            told[name] = intern(told[name])
        if told.get("final_url") == told["url"]:
            told["final_url"] = told["url"]  # one string for most
        return Row(**told)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
