"""The confusion matrix as a picture."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from fewshot.reporting import wording
from fewshot.reporting.svg import LETTER, picture, tag

SLANT = 50  # degrees


def confusion_matrix(confusion: np.ndarray, classes: Sequence[str], shown: Sequence[int]) -> Markup:
    """Of the images of each shown class (row), the percentage that was called each class (column).

    Mistakes are coloured, right answers aren't: the eye goes to what went wrong. The last column is what
    falls outside the shown classes.
    """
    cell = min(44, max(30, 480 // max(len(shown), 1)))
    rest = len(shown) < len(classes)
    names = [wording.shortened(classes[index], 24) for index in shown]
    longest = LETTER * max(map(len, [*names, "other classes" if rest else "true class ↓"]))
    left, head = 12 + longest, 22 + longest * math.sin(math.radians(SLANT))
    columns = len(shown) + rest
    tested = np.maximum(confusion.sum(axis=1), 1)
    shares = confusion / tested[:, None]
    off_diagonal = shares[np.ix_(shown, shown)] * (1 - np.eye(len(shown)))
    strongest = max(float(off_diagonal.max(initial=0)), 0.02)

    parts: list[Markup] = [
        tag("text", "true class ↓", x=left - 8, y=head - 8, class_="tick end"),
    ]
    for column, name in enumerate([*names, "other classes"] if rest else names):
        x = left + (column + 0.5) * cell
        text = tag("text", name, x=x, y=head - 8, class_="name", transform=f"rotate(-{SLANT} {x:.1f} {head - 8:.1f})")
        parts.append(text)
    for row, true in enumerate(shown):
        y = head + row * cell
        parts.append(tag("text", names[row], x=left - 8, y=y + cell / 2 + 4, class_="name end"))
        for column, called in enumerate(shown):
            count = int(confusion[true, called])
            title = f"{classes[true]} called {classes[called]}: {_of(count, int(confusion[true].sum()))}"
            strength = None if true == called else float(shares[true, called]) / strongest
            parts.append(_matrix_cell(left + column * cell, y, cell, float(shares[true, called]), strength, title))
        if rest:
            count = int(confusion[true].sum() - confusion[true, list(shown)].sum())
            title = f"{classes[true]} called a class that isn't shown: {_of(count, int(confusion[true].sum()))}"
            share = count / float(tested[true])
            parts.append(_matrix_cell(left + len(shown) * cell, y, cell, share, 0.0, title))
    width = left + columns * cell + 0.75 * longest  # the last slanted name leans over the edge
    title = "Confusion matrix: rows are the true classes, columns what they were called"
    return picture(width, head + len(shown) * cell + 2, title, *parts, class_="matrix")


def _matrix_cell(x: float, y: float, size: float, share: float, strength: float | None, title: str) -> Markup:
    """A cell: `strength` between 0 and 1 colours a mistake; None is a right answer."""
    kind = "right" if strength is None else "mistake"
    fill = None if strength is None else f"{0.85 * strength**0.7:.3f}" if share >= 0.005 else "0"
    box = tag("rect", x=x + 0.5, y=y + 0.5, width=size - 1, height=size - 1, class_=kind, fill_opacity=fill)
    text = "" if share == 0 else "·" if share < 0.005 else f"{100 * share:.0f}"
    number = tag("text", text, x=x + size / 2, y=y + size / 2 + 4, class_=f"{kind}-number middle") if text else ""
    return tag("g", tag("title", title), box, number)


def _of(count: int, total: int) -> str:
    return (
        f"{wording.percent(count / total if total else math.nan)} % ({wording.count(count)} of {wording.count(total)})"
    )
