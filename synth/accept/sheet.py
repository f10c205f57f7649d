"""A contact sheet of what was accepted and what was not: a row a class."""

from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from curate.checks.sheet import LINE, PAPER, SIDE, thumbnail, write
from curate.collection.directory import Collection
from curate.foundation import atomic
from curate.foundation.errors import FewposeError, UsageError

COLUMNS = 10  # pictures of a class, at most; half of them, at least, for the rejected ones where there are as many

_ACCEPTED, _REJECTED = (90, 190, 110), (220, 70, 60)
_FRAME = 3  # pixels
_ROW = SIDE + 2 * LINE
_LETTERS = 30  # that a line under a picture holds


def sheet(collection: Collection, verdicts: pd.DataFrame, path: Path) -> int:
    """Write a PNG: of each class the accepted images first, then the rejected ones, framed in red and with the reason.

    verdicts: as curate.collection.sets.explain_synthetic gives them. Returns how many pictures are on the sheet.
    Raises UsageError where `path` is no .png, FewposeError where it cannot be written.
    """
    check_name(path)
    table = collection.images().set_index("key")
    classes = list(verdicts.groupby("label"))
    page = Image.new("RGB", (COLUMNS * SIDE, len(classes) * (_ROW + LINE)), PAPER)
    drawn = 0
    for row, (label, images) in enumerate(classes):
        top = row * (_ROW + LINE)
        write(page, 0, top, f"{label}: {int(images['filtered'].sum())} of {len(images)}")
        shown = chosen(images)
        for column, (key, accepted, why) in enumerate(zip(shown["key"], shown["filtered"], shown["why"], strict=True)):
            picture = thumbnail(collection, table["file"][key], table["id"][key])
            _draw(page, column * SIDE, top + LINE, picture, accepted, why)
        drawn += len(shown)
    try:
        with atomic.replacing(path) as temporary:
            page.save(temporary, format="PNG")
    except OSError as error:
        raise FewposeError(f"cannot write {path}: {error.strerror or error}") from error
    return drawn


def check_name(path: Path) -> None:
    """Raises UsageError where `path` is no .png."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name for a sheet: it must end in .png")


def chosen(images: pd.DataFrame) -> pd.DataFrame:
    """The rows that the sheet has place for, of one class: by key, the accepted ones first."""
    ordered = images.sort_values("key")
    accepted, rejected = ordered[ordered["filtered"]], ordered[~ordered["filtered"]]
    places = max(COLUMNS - len(rejected), COLUMNS // 2)
    accepted = accepted.head(places)
    return pd.concat([accepted, rejected.head(COLUMNS - len(accepted))])


def _draw(page: Image.Image, left: int, top: int, picture: Image.Image, accepted: bool, why: str) -> None:
    page.paste(picture, (left + 1, top + 1))
    colour = _ACCEPTED if accepted else _REJECTED
    edge = (left + 1, top + 1, left + SIDE - 2, top + SIDE - 2)
    ImageDraw.Draw(page).rectangle(edge, outline=colour, width=1 if accepted else _FRAME)
    cut = why.rfind(" ", 0, _LETTERS + 1) if len(why) > _LETTERS else len(why)
    write(page, left, top + SIDE, why[:cut].strip(), why[cut:].strip())
