"""Files of images/, for the process that holds a collection locked: each appears whole or not at all.

They are too many to be synced one by one, as `atomic` does: os.sync() is called once, before the tables that name them
are written.
"""

import errno
import os
import shutil
import stat
from itertools import count
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

# What a file system says of a name that it can't hold; anything else (disk full, read-only) ends the command.
_BAD_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EILSEQ, errno.EINVAL}


class BadName(OSError):
    """The file system can't hold a file of this name, or another one is in its way."""


class FileWriter:
    """Writes files of images/. A context manager: unfinished files lie in a folder that is removed with the block."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._unfinished = collection.file(".copying")
        self._numbers = count()

    def __enter__(self) -> "FileWriter":
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def size(self, file: str) -> int | None:
        """Bytes of the regular file that lies there; None where none does.

        file: as in the image table, of a copy. Raises FewposeError where it leads out of images/.
        """
        path = self._place(file)
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def holds(self, file: str, content: bytes) -> bool:
        """Whether exactly these bytes lie there."""
        return self.size(file) == len(content) and self._place(file).read_bytes() == content

    def write(self, file: str, content: bytes) -> None:
        """Have exactly these bytes there; a file that is there is compared with them. Safe in threads.

        Raises BadName, another OSError where nothing can be written, and FewposeError as `size`.
        """
        try:
            if not self.holds(file, content):
                self._write_copy(self._place(file), content)
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise BadName(error.errno, os.strerror(error.errno), file) from error

    def _place(self, file: str) -> Path:
        if not file.startswith("images/"):  # a linked file is the user's own, and a table is no image
            raise FewposeError(f"{file} of {self._collection.root} is no place for a copy: these lie in images/")
        return self._collection.file(file)

    def _write_copy(self, path: Path, content: bytes) -> None:
        copy = self._unfinished / str(next(self._numbers))
        # Not open(): what it asks of each file costs as much as the writing, where there are thousands a second.
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        try:
            copy.replace(path)
        except FileNotFoundError:  # most often the folder is there
            path.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(path)
