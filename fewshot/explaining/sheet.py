"""One picture that shows a photograph, and beside it what spoke for each of some classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curate.images.transform import Transform
from fewshot.explaining.overlay import bar, overlay

SIDE = 320  # px: the longest side of a panel
NARROWEST = 200  # px: for the words above it
GAP, LINE, SIZE = 16, 20, 14  # px: between panels; of a line of text, and of its letters
SCALE_WIDTH, SCALE_HEIGHT = 140, 10


@dataclass(frozen=True)
class Panel:
    """A map (size, size) of the square that the model saw, and two lines to be written above it."""

    heat: np.ndarray
    title: str
    note: str


def sheet(picture: Image.Image, title: str, panels: Sequence[Panel], transform: Transform) -> Image.Image:
    """The picture under its title, and a panel for each map."""
    shown = picture.copy()
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    words = [(title, ""), *((panel.title, panel.note) for panel in panels)]
    images = [shown, *(overlay(shown, panel.heat, transform) for panel in panels)]
    step = max(shown.width, NARROWEST) + GAP
    top = GAP + 2 * LINE
    page = Image.new("RGB", (GAP + step * len(images), top + shown.height + GAP + LINE), "white")
    pen = ImageDraw.Draw(page)
    for number, (image, lines) in enumerate(zip(images, words, strict=True)):
        left = GAP + number * step
        for line, (text, bold) in enumerate(zip(lines, (True, False), strict=True)):
            font = _font(bold)
            pen.text((left, GAP + line * LINE), _fitting(text, font, step - GAP), fill="black", font=font, anchor="lt")
        page.paste(image, (left, top))
    _legend(page, pen, GAP + step, top + shown.height + GAP // 2)
    return page


def _legend(page: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
    font = _font(False)
    pen.text((left, top), "nothing", fill="black", font=font, anchor="lt")
    place = left + round(font.getlength("nothing")) + 8
    page.paste(bar(SCALE_WIDTH, SCALE_HEIGHT), (place, top + 1))
    pen.text((place + SCALE_WIDTH + 8, top), "most", fill="black", font=font, anchor="lt")


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Text that is no wider than so many pixels; the middle of a longer one is left out."""
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        shorter = f"{text[:head]}…{text[len(text) - kept + head :]}"
        if font.getlength(shorter) <= width:
            return shorter
    return "…"


def _font(bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu, which matplotlib brings along: Pillow's own font has Latin letters only."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), SIZE)
