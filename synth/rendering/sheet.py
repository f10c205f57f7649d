"""A contact sheet: each pose a row, with its name; several images of it side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from curate.body.poses import Pose, named
from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError, UsageError
from curate.workers.opening import in_order
from curate.workers.settings import WorkerSettings
from synth.rendering.render import render

_NAME_WIDTH = 190


@dataclass(frozen=True)
class _Cell:
    pose: Pose
    index: int
    seed: int
    size: int


def sheet(
    out: Path,
    poses: Sequence[str | Pose],
    columns: int = 6,
    *,
    size: int = 160,
    seed: int = 0,
    workers: WorkerSettings | None = None,
) -> tuple[int, int]:
    """Write a contact sheet as a PNG and return its width and height; UsageError if `out` is no .png.

    poses: themselves, or names of shipped ones.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out} is no name for a sheet: it must end in .png")
    if not 1 <= columns <= 24 or not 64 <= size <= 512:
        raise UsageError("a sheet has 1 to 24 columns of 64 to 512 pixels")
    rows = [named(pose) for pose in poses]
    cells = [_Cell(pose, index, seed, size) for pose in rows for index in range(columns)]
    page = Image.new("RGB", (_NAME_WIDTH + columns * size, len(rows) * size), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for row, pose in enumerate(rows):
        pen.text((8, row * size + size // 2 - 8), pose.name.replace("_", " "), fill="black", font=font)
    with console.progress("drawing", len(cells)) as advance:
        for number, image in enumerate(in_order(_draw, cells, workers or WorkerSettings())):
            page.paste(image, (_NAME_WIDTH + number % columns * size, number // columns * size))
            advance(1)
    try:
        with atomic.replacing(out) as temporary:
            page.quantize(256).save(temporary, "PNG", optimize=True)  # to be looked at: a third of the bytes
    except OSError as error:
        raise FewposeError(f"cannot write {out}: {error.strerror or error}") from None
    return page.size


def _draw(cell: _Cell) -> Image.Image:
    return render(cell.pose, seed=cell.seed, size=cell.size, index=cell.index).image
