"""Small pictures of single images as data: URIs. What can't be read has none: a report never fails for a picture."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

SIDE = 176  # px: twice what the page shows, for dense screens


def thumbnails(collection: str | None, keys: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """key -> "data:image/jpeg;base64,...", of the images of a collection that can be read and are still those of its
    table; and key -> the cause, of the others in that table. Nothing without a readable collection.
    """
    from curate.images import originals
    from curate.images.decoding import Unreadable

    pictures: dict[str, str] = {}
    lacking: dict[str, str] = {}
    if not collection:
        return pictures, lacking
    try:
        opened = Collection.open(Path(collection))
        table = opened.images().set_index("key")
    except (FewposeError, OSError):
        return pictures, lacking
    for key in keys:
        if key not in table.index:
            continue
        try:
            pictures[key] = _thumbnail(originals.read(opened, table["file"][key], table["id"][key]), SIDE)
        except Unreadable as reason:
            lacking[key] = str(reason.cause)
    return pictures, lacking


def of_file(file: Path, side: int) -> str | None:
    """One picture, upright, at most `side` px on its longer side; None where `file` isn't a readable image."""
    from curate.images.decoding import NO_LIMITS, Unreadable, read_file

    try:
        return _thumbnail(read_file(file, NO_LIMITS), side)
    except Unreadable:
        return None


def _thumbnail(content: bytes, side: int) -> str:
    """Raises Unreadable."""
    from curate.images.decoding import NO_LIMITS, open_image

    picture = open_image(content, limits=NO_LIMITS, draft=(2 * side, 2 * side)).image
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
