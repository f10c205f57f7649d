"""Contact sheets: what a rule flagged, at one look."""

from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from curate.collection.directory import Collection
from curate.foundation import atomic
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image

MOST = 50  # pictures on a sheet

_COLUMNS = 10
SIDE = 180  # pixels of a thumbnail's longer side
LINE = 13  # pixels of a line of writing; two stand under each picture
_WRITING = 11  # pixels
_CHARACTERS = 30  # of a line, at most
PAPER = (70, 70, 90)  # neither white nor black, which pictures have around them


def sheet(collection: Collection, findings: pd.DataFrame, path: Path) -> int:
    """Write a PNG of the MOST pictures with the highest scores, worst first, each with its score and key.

    findings: rows of Findings.table, of one rule. Returns how many pictures are on the sheet; without any, no file is
    written. A picture that cannot be read, or has changed, is said so in its place. Raises OSError where `path` cannot
    be written.
    """
    worst = findings.sort_values(["score", "key"], ascending=[False, True]).head(MOST)
    if worst.empty:
        return 0
    images = collection.images().set_index("key")
    rows = -(-len(worst) // _COLUMNS)
    page = Image.new("RGB", (_COLUMNS * SIDE, rows * (SIDE + 2 * LINE)), PAPER)
    for place, (key, score) in enumerate(zip(worst["key"], worst["score"], strict=True)):
        left, top = place % _COLUMNS * SIDE, place // _COLUMNS * (SIDE + 2 * LINE)
        page.paste(thumbnail(collection, images["file"][key], images["id"][key]), (left + 1, top + 1))
        write(page, left, top + SIDE, f"{score:.3f}", key)
    with atomic.replacing(path) as temporary:
        page.save(temporary, format="PNG")
    return len(worst)


def thumbnail(collection: Collection, file: str, content_id: str) -> Image.Image:
    """(SIDE - 2) pixels square: the picture, whole and in the middle, or the reason why there is none."""
    square = (SIDE - 2, SIDE - 2)
    try:
        content = originals.read(collection, file, content_id)
        picture = open_image(content, limits=NO_LIMITS, draft=square).image
    except Unreadable as reason:
        blank = Image.new("RGB", square, PAPER)
        ImageDraw.Draw(blank).text((4, SIDE // 2), str(reason.cause), fill="white", font_size=_WRITING)
        return blank
    return ImageOps.pad(picture, square, color=PAPER)


def write(page: Image.Image, left: int, top: int, *lines: str) -> None:
    """Lines of LINE pixels, as wide as a picture, from a place on."""
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        # The end of a key tells more than its beginning.
        shown = line if len(line) <= _CHARACTERS else "..." + line[3 - _CHARACTERS :]
        draw.text((left + 2, top + number * LINE), shown, fill="white", font_size=_WRITING)
