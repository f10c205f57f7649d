"""One picture that shows a photograph, and beside it what spoke for each of some classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fewshot.explaining.overlay import bar
from fewshot.explaining.palette import font

SIDE = 320  # px: the longest side of a panel
NARROWEST = 200  # px: for the words above it
GAP, LINE, SIZE = 16, 20, 14  # px: between panels; of a line of text, and of its letters
SCALE_WIDTH, SCALE_HEIGHT = 140, 10


Shown = Callable[[Image.Image], Image.Image]  # what is to be seen of an RGB picture of any size, in that size


@dataclass(frozen=True)
class Panel:
    """A map laid `over` the picture, and lines to be written above it; `side`: of which side of a classifier it is."""

    over: Shown
    title: str
    note: str
    side: str = ""


def sheet(picture: Image.Image, title: str, panels: Sequence[Panel]) -> Image.Image:
    """The picture under its title, and beside it the panels."""
    shown = picture.copy()
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    words = [(title,), *((panel.title, panel.note, panel.side) for panel in panels)]
    images = [shown, *(panel.over(shown) for panel in panels)]
    step = max(shown.width, NARROWEST) + GAP
    top = GAP + (3 if any(panel.side for panel in panels) else 2) * LINE
    page = Image.new("RGB", (GAP + step * len(images), top + shown.height + GAP + LINE), "white")
    pen = ImageDraw.Draw(page)
    for number, (image, lines) in enumerate(zip(images, words, strict=True)):
        left = GAP + number * step
        for line, text in enumerate(lines):
            face = font(SIZE, bold=line == 0)
            pen.text((left, GAP + line * LINE), _fitting(text, face, step - GAP), fill="black", font=face, anchor="lt")
        page.paste(image, (left, top))
    _legend(page, pen, GAP + step, top + shown.height + GAP // 2)
    return page


def _legend(page: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
    face = font(SIZE, bold=False)
    pen.text((left, top), "nothing", fill="black", font=face, anchor="lt")
    place = left + round(face.getlength("nothing")) + 8
    page.paste(bar(SCALE_WIDTH, SCALE_HEIGHT), (place, top + 1))
    pen.text((place + SCALE_WIDTH + 8, top), "most", fill="black", font=face, anchor="lt")


def _fitting(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Text that is no wider than so many pixels; the middle of a longer one is left out."""
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    if face.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        shorter = f"{text[:head]}…{text[len(text) - kept + head :]}"
        if face.getlength(shorter) <= width:
            return shorter
    return "…"
