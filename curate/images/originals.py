"""The files of a collection's images, as they came: read by what is decoded, shown, embedded in a page or exported.

What was read has the content id that the table gives it. So a changed file gives no wrong numbers, and a table from a
stranger can show nobody a file of yours: for that, it would have to know the SHA-256 of its bytes.
"""

import hashlib
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.images.decoding import NO_LIMITS, Cause, Unreadable, read_file


def read(collection: Collection, file: str, content_id: str) -> bytes:
    """The bytes of an image. file, content_id: as in the image table.

    Raises Unreadable where the file is gone, has other bytes than it had, or leads out of the collection.
    """
    try:
        path = collection.path(file)
    except FewposeError as error:
        raise Unreadable(Cause.NO_ACCESS, str(error)) from error
    return read_at(path, content_id)


def read_at(path: Path, content_id: str) -> bytes:
    """The same, where the path is known: of `Collection.path`."""
    content = read_file(path, NO_LIMITS)  # the import's limits, which may have been raised, let these bytes in
    if hashlib.sha256(content).hexdigest() != content_id:
        raise Unreadable(Cause.CHANGED, "its bytes are not those of its content id")
    return content
