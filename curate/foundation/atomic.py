"""Files that appear whole or not at all: written beside their place, then renamed."""

import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_UMASK = os.umask(0)  # can only be read by setting it
os.umask(_UMASK)
_MODE = 0o666 & ~_UMASK

PREFIX = ".writing-"  # of files that are not done
_LONGEST = 24 * 3600  # seconds that writing a file may take


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed onto it when the block ends well, removed when not.

    An OSError, of a full disk say, names `path`: the system names no file that is open, or the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _named_beside(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; a collection is shared like any other folder.
        temporary.chmod(_MODE)
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, os.fspath(temporary)):
            error.filename = os.fspath(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _named_beside(path: Path) -> Path:
    """A new, empty file."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=PREFIX, suffix=path.suffix)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    os.close(descriptor)
    return Path(name)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and is on the disk when this returns."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """The same for text, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys: equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def remove_unfinished(folder: Path, seconds: float = _LONGEST) -> None:
    """Remove the files that processes were writing in `folder` when they were killed.

    seconds: since when nothing was written into them. 0 is for who knows that nobody writes there, by a lock: elsewhere
    another process may be about to rename its file.
    """
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it has just been renamed, or is not ours to remove
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) and time.time() - status.st_mtime >= seconds:
                path.unlink()
