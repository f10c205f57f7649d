"""Single classes: how many of each are recognised at each number of images, which gain nothing, which drive the spread.

Two warnings, by rules that docs/statistics.md states, too:

* A class *drives the spread* where leaving its test images out lowers the SD of accuracy over splits by more than
  DRIVES. With classes alike in their spread it would rise, for there are fewer images: so it takes one that stands out.
* A class *doesn't gain* where its recall is no higher with the most images than with the fewest (mean over the splits
  that have both), though it isn't above FULL, and the accuracy of all classes did rise.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fewshot.measuring.measure import Cell, Measured
from fewshot.measuring.statistics import paired, summarize
from fewshot.measuring.tables import rows_of
from fewshot.reporting import wording
from fewshot.reporting.svg import Scale, line, path, picture, tag

DRIVES = 0.3
FEWEST_SPLITS = 10  # an SD from fewer is too rough for the rule
FEWEST_CLASSES = 3  # without one of two classes, another task is left
FULL = 0.95
MOST_NAMED = 5
CLASSES = ("set", "method", "shots", "class", "n", "tested", "mean", "sd", "ci_low", "ci_high", "sd_without")


def classes(measured: Measured) -> pd.DataFrame:
    """The recall of each class in each cell (CLASSES), all fractions, in the order of the cells, then the classes.

    `mean`, `sd` and the 95 % t-interval over splits are of the share of the class's test images that are named rightly;
    `n` splits tested the class, on `tested` images in all (one that two splits test counts twice). `sd_without` is the
    SD over splits of the accuracy on all other classes' images, to be compared with `sd` in the results.
    """
    rows: list[dict[str, Any]] = []
    for cell in measured.cells:
        if cell not in measured.by_class:
            continue
        right, tested = _counts(measured, cell)
        for index, name in enumerate(measured.sweep.classes):
            there = tested[:, index] > 0
            found = summarize(list(right[there, index] / tested[there, index]))
            rows.append(
                {"set": cell.set, "method": cell.method, "shots": cell.shots, "class": name}
                | {"n": found.n, "tested": int(tested[:, index].sum()), "mean": found.mean, "sd": found.sd}
                | {"ci_low": found.low, "ci_high": found.high}
                | {"sd_without": _spread(_without(right, index), _without(tested, index))}
            )
    return pd.DataFrame(rows, columns=list(CLASSES))


def _counts(measured: Measured, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Images named rightly, and tested: two arrays (splits, classes), splits ascending."""
    splits = measured.by_class[cell]
    counts = np.stack([splits[split] for split in sorted(splits)])
    return counts[..., 0], counts[..., 1]


def _without(counts: np.ndarray, index: int) -> np.ndarray:
    return counts.sum(axis=1) - counts[:, index]


def _spread(right: np.ndarray, tested: np.ndarray) -> float:
    """The sample SD of right / tested over splits; NaN with fewer than two."""
    there = tested > 0
    return float(np.std(right[there] / tested[there], ddof=1)) if there.sum() > 1 else math.nan


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
    right, tested = _counts(measured, cell)
    whole = _spread(right.sum(axis=1), tested.sum(axis=1))
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
    accuracy = paired(_by_split(measured, many, whole), _by_split(measured, few, whole))
    if not accuracy.mean > 0:
        return []
    found = []
    for index, name in enumerate(names):
        last = _by_split(measured, many, [index])
        change = paired(last, _by_split(measured, few, [index]))
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


def _by_split(measured: Measured, cell: Cell, chosen: Sequence[int]) -> dict[int, float]:
    """split -> the share of the chosen classes' test images that are named rightly, where there are any."""
    counts = {split: each[list(chosen)].sum(axis=0) for split, each in measured.by_class[cell].items()}
    return {split: float(right / tested) for split, (right, tested) in counts.items() if tested}


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
