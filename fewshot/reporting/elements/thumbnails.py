"""Small pictures of single images as data: URIs. What can't be read has none: a report never fails for a picture."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

SIDE = 176  # px: twice what the page shows, for dense screens


def thumbnails(collection: str | None, keys: Iterable[str]) -> dict[str, str]:
    """key -> "data:image/jpeg;base64,..." for the keys whose files can be read; {} without a readable collection."""
    if not collection:
        return {}
    try:
        opened = Collection.open(Path(collection))
        table = opened.images()
    except (FewposeError, OSError):
        return {}
    files = dict(zip(table["key"], table["file"], strict=True))
    made = {key: thumbnail(opened.path(files[key])) for key in keys if key in files}
    return {key: uri for key, uri in made.items() if uri}


def thumbnail(file: Path, side: int = SIDE) -> str | None:
    """One picture, upright, at most `side` px on its longer side; None where `file` isn't a readable image."""
    from curate.images.decoding import NO_LIMITS, Unreadable, open_image, read_file  # brings Pillow

    try:
        picture = open_image(read_file(file, NO_LIMITS), limits=NO_LIMITS, draft=(2 * side, 2 * side)).image
    except Unreadable:
        return None
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
