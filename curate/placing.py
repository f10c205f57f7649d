"""Files of images/, for the process that holds a collection locked: each appears whole or not at all.

They are too many to be synced one by one, as `atomic` does; who writes the tables that name them syncs before.
"""

import errno
import os
import shutil
import uuid

from curate.collection import Collection

# What a file system says of a name that it can't hold; anything else (disk full, read-only) ends the command.
_BAD_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EILSEQ, errno.EINVAL}


class BadName(OSError):
    """The file system can't hold a file of this name, or another one is in its way."""


class Placing:
    """A context manager: what is being written lies in a folder of its own, which goes when the block ends."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._unfinished = collection.root / ".copying"

    def __enter__(self) -> "Placing":
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def holds(self, file: str, content: bytes) -> bool:
        """Whether exactly these bytes lie there. file: as in the image table."""
        path = self._collection.path(file)
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content

    def place(self, file: str, content: bytes) -> None:
        """Have exactly these bytes there: what lies there is compared, not trusted. Safe in threads.

        Raises BadName, another OSError where nothing can be written.
        """
        try:
            if self.holds(file, content):
                return
            copy = self._unfinished / uuid.uuid4().hex
            copy.write_bytes(content)
            path = self._collection.path(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(path)
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise BadName(error.errno, os.strerror(error.errno), file) from error
