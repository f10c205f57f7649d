"""Single classes: how many of each are recognised at each number of images, which gain nothing, which drive the spread.

Two warnings, by rules that docs/statistics.md states, too:

* A class *drives the spread* where leaving its test images out lowers the SD of accuracy over splits by more than
  DRIVES. With classes alike in their spread it would rise, for there are fewer images: so it takes one that stands out.
* A class *doesn't gain* where its recall is no higher with the most images than with the fewest (mean over the splits
  that have both), though it isn't above FULL, and the accuracy of all classes did rise.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from curate.foundation.markdown import bullets
from fewshot.measuring import per_class
from fewshot.measuring.measure import Cell, Measured
from fewshot.measuring.per_class import sd_over_splits, shares
from fewshot.measuring.statistics import paired
from fewshot.measuring.tables import rows_of
from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import Scale, line, path, picture, tag
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

DRIVES = 0.3
FEWEST_SPLITS = 10  # an SD from fewer is too rough for the rule
FEWEST_CLASSES = 3  # without one of two classes, another task is left
FULL = 0.95
MOST_NAMED = 5
MOST_CURVES = 20


class Classes(Section):
    """Small curves of the method in focus, one a class, and warnings on single classes."""

    anchor = "classes"
    heading = "Class by class"

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        self.table = per_class.classes(content.measured)

    @cached_property
    def warnings(self) -> list[str]:
        return warnings(self.content.measured, self.content.focus, self.table)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"classes": self.table}

    def html(self) -> str:
        curves = class_curves(self.table, self.content.results, self.content.focus, MOST_CURVES)
        if not curves and not self.warnings:
            return ""
        return self.render(
            focus=self.content.focus,
            warnings=self.warnings,
            curves=curves,
            classes=len(self.content.measured.sweep.classes),
        )

    def markdown(self) -> list[str]:
        return [bullets(self.warnings)] if self.warnings else []


# ---- warnings ---------------------------------------------------------------------------------------------------


def warnings(measured: Measured, focus: Cell | None, table: pd.DataFrame) -> list[str]:
    """Sentences on the classes of the focus cell's method and set: those that drive the spread or don't gain."""
    if focus is None:
        return []
    cells = [cell for cell in measured.cells if _same_curve(cell, focus) and cell in measured.by_class]
    driving = [sentence for cell in cells if (sentence := _driving(measured, cell, table))]
    return [*driving, *_stalled(measured, [cell for cell in cells if cell.shots])]


def _same_curve(cell: Cell, focus: Cell) -> bool:
    return (cell.set, cell.method) == (focus.set, focus.method)


def _driving(measured: Measured, cell: Cell, table: pd.DataFrame) -> str:
    """A sentence on the class that drives a cell's spread over splits the most, or ""."""
    right, tested = per_class.counts(measured, cell)
    whole = sd_over_splits(right.sum(axis=1), tested.sum(axis=1))
    if len(right) < FEWEST_SPLITS or right.shape[1] < FEWEST_CLASSES or not whole > 0:
        return ""
    of_cell = table[(table["set"] == cell.set) & (table["method"] == cell.method) & (table["shots"] == cell.shots)]
    row = min(rows_of(of_cell.rename(columns={"class": "name"})), key=lambda row: row.sd_without)
    if not row.sd_without < (1 - DRIVES) * whole:
        return ""
    images = f" with {wording.counted(cell.shots, 'image')} a class" if cell.shots else ""
    return (
        f"One class drives the spread over splits{images}: without {row.name} the SD of accuracy is "
        f"{wording.percent(row.sd_without)} instead of {wording.percent(whole)} points."
    )


def _stalled(measured: Measured, cells: Sequence[Cell]) -> list[str]:
    """A sentence on the classes that gain nothing from the fewest images to the most, or none."""
    if len(cells) < 2:
        return []
    few, many = (min(cells, key=lambda cell: cell.shots), max(cells, key=lambda cell: cell.shots))
    names = measured.sweep.classes
    whole = range(len(names))
    accuracy = paired(shares(measured, many, whole), shares(measured, few, whole))
    if not accuracy.mean > 0:
        return []
    found = []
    for index, name in enumerate(names):
        last = shares(measured, many, [index])
        change = paired(last, shares(measured, few, [index]))
        if change.mean <= 0 and np.mean(list(last.values())) < FULL:
            ends = f" {wording.interval(change.low, change.high, True)}" if change.known else ""
            found.append((change.mean, f"{name} ({wording.points(change.mean)} points{ends})"))
    if not found:
        return []
    listed = [text for _, text in sorted(found)[:MOST_NAMED]]
    more = [f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    rise = wording.points(accuracy.mean).lstrip("+")
    return [
        f"From {few.shots} to {many.shots} images a class accuracy rises by {rise} "
        f"points, but {wording.counted(len(found), 'class', 'classes')} of {len(names)} "
        f"{'gains' if len(found) == 1 else 'gain'} nothing: {wording.listing([*listed, *more])}."
    ]


# ---- pictures ---------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 176, 84  # px


def class_curves(table: pd.DataFrame, results: pd.DataFrame, focus: Cell | None, most: int) -> list[dict[str, Any]]:
    """A small curve for each class of the focus cell's method and set, on common scales, the hardest class first.

    At most `most`; none where the method has fewer than two numbers of images.
    """
    if focus is None:
        return []
    rows = _of_method(table, focus).rename(columns={"class": "name"})
    overall = [(row.shots, row.mean) for row in rows_of(_of_method(results, focus)) if row.n]
    shots = sorted({shot for shot, _ in overall})
    if len(shots) < 2:
        return []
    by_name: dict[str, list[Any]] = {}
    for row in rows_of(rows):
        if row.n:
            by_name.setdefault(row.name, []).append(row)
    hardest = sorted(by_name.items(), key=lambda item: (item[1][-1].mean, item[0]))[:most]
    lowest = min((row.mean for _, of_class in hardest for row in of_class), default=0)
    x = Scale(math.log(shots[0]), math.log(shots[-1]), 12, WIDTH - 40)
    y = Scale(max(0.0, math.floor(10 * lowest - 0.5) / 10), 1, HEIGHT - 16, 5)
    return [
        {"name": name, "picture": _small(name, of_class, overall, shots, x, y), "lowest": y.low}
        for name, of_class in hardest
    ]


def _of_method(table: pd.DataFrame, focus: Cell) -> pd.DataFrame:
    return table[(table["set"] == focus.set) & (table["method"] == focus.method) & (table["shots"] > 0)]


def _small(
    name: str, rows: Sequence[Any], overall: Sequence[tuple[int, float]], shots: Sequence[int], x: Scale, y: Scale
) -> Markup:
    """One class: its recall with the interval over splits, and all classes' accuracy as a faint line behind it."""
    known = [row for row in rows if not math.isnan(row.ci_low)]
    edge = [(x(math.log(row.shots)), y.clipped(row.ci_high)) for row in known]
    edge += [(x(math.log(row.shots)), y.clipped(row.ci_low)) for row in reversed(known)]
    last = rows[-1]
    points = [(x(math.log(row.shots)), y.clipped(row.mean)) for row in rows]
    parts = [
        *(line(x.start, y(level), x.end, y(level), "grid") for level in (y.low, 1.0)),
        path([(x(math.log(shot)), y.clipped(mean)) for shot, mean in overall], "overall"),
        *([path(edge, "band fill c1", closed=True)] if len(known) > 1 else []),
        path(points, "curve-line stroke c1"),
        *(tag("circle", cx=px, cy=py, r=2.4, class_="fill c1") for px, py in points),
        tag("text", wording.percent(last.mean), x=points[-1][0] + 7, y=points[-1][1] + 4, class_="num"),
        *(
            tag("text", wording.count(shot), x=x(math.log(shot)), y=HEIGHT - 2, class_="tick middle")
            for shot in (shots[0], shots[-1])
        ),
    ]
    said = "; ".join(f"{wording.percent(row.mean)} % with {row.shots}" for row in rows)
    return picture(WIDTH, HEIGHT, f"{name}: named rightly {said}", *parts, class_="small")
