"""Small pictures of single images as data: URIs. What can't be read has none: a report never fails for a picture."""

import base64
import io
import warnings
from collections.abc import Iterable
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

SIDE = 176  # px: twice what the page shows, for dense screens
MOST_PIXELS = 100_000_000


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
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful metadata; the size is checked below
            with Image.open(file) as image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                image.draft("RGB", (2 * side, 2 * side))
                upright = ImageOps.exif_transpose(image).convert("RGB")
                upright.thumbnail((side, side))
                buffer = io.BytesIO()
                upright.save(buffer, "JPEG", quality=78, optimize=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
