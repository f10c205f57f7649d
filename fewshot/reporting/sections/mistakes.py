"""What is taken for what: the confusion matrix of the cell in focus, its hardest pairs, and every class."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from curate.foundation.markdown import escape, table
from fewshot.measuring import tables
from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import LETTER, picture, tag
from fewshot.reporting.elements.wording import part_of
from fewshot.reporting.sections import explained, wrong_images
from fewshot.reporting.sections.section import Section

MOST_CLASSES = 20  # in the matrix
MOST_PAIRS = 10
SLANT = 50  # degrees


class Mistakes(Section):
    """Mistakes of the cell in focus. In report.md the images that are most often wrong are a part of this section."""

    anchor = "mistakes"
    heading = "What is taken for what"
    markdown_heading = "Mistakes"

    def html(self) -> str:
        confusion, classes = self.content.confusion, self.content.measured.sweep.classes
        if confusion is None:
            return ""
        shown = tables.hardest_classes(confusion, MOST_CLASSES)
        pairs = tables.confused_pairs(confusion, classes)
        return self.render(
            focus=self.content.focus,
            matrix=confusion_matrix(confusion, classes, shown),
            shown=len(shown),
            classes=len(classes),
            pairs=pairs.head(MOST_PAIRS).to_dict("records"),
            more_pairs=max(0, len(pairs) - MOST_PAIRS),
            explained=explained.html(self.content) if len(pairs) else "",
            by_class=self._by_class(confusion),
        )

    def _by_class(self, confusion: np.ndarray) -> list[dict[str, Any]]:
        """Each class's share of right answers, the hardest first."""
        settings, classes = self.content.measured.sweep.settings, self.content.measured.sweep.classes
        texts = settings.get("texts") or [""] * len(classes)
        rows = []
        for index, name in enumerate(classes):
            tested = int(confusion[index].sum())
            elsewhere = confusion[index].copy()
            elsewhere[index] = 0
            usual = int(elsewhere.argmax())
            rows.append(
                {
                    "name": name,
                    "text": texts[index] if isinstance(texts[index], str) else "; ".join(texts[index]),
                    "images": settings.get("class_sizes", {}).get(name),
                    "right": confusion[index, index] / tested if tested else math.nan,
                    "usual": classes[usual] if elsewhere[usual] else "",
                    "usual_share": elsewhere[usual] / tested if tested else math.nan,
                }
            )
        return sorted(rows, key=lambda row: (row["right"] != row["right"], row["right"]))  # unknown last

    def markdown(self) -> list[str]:
        cell, confusion = self.content.focus, self.content.confusion
        if cell is None or confusion is None:
            return []
        shots = f" with {wording.counted(cell.shots, 'image')} a class" if cell.shots else ""
        parts = [f"Of the most accurate combination, {escape(cell.method)} on {escape(cell.set)}{shots}."]
        pairs = tables.confused_pairs(confusion, self.content.measured.sweep.classes).head(MOST_PAIRS)
        rows = [
            (row.a, row.b, part_of(row.a_as_b, row.a_tested), part_of(row.b_as_a, row.b_tested))
            for row in tables.rows_of(pairs)
        ]
        if rows:
            parts.append(table(("class", "called", "times", "the other way round"), rows, numeric=(2, 3)))
        return [*parts, *wrong_images.markdown(self.content)]


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
    return f"{wording.percent(count / total if total else math.nan)} % ({part_of(count, total)})"
