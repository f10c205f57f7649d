"""The power laws through a sweep's learning curves: how many images a class a target needs, in a table and in words.

What is fitted, and how sure it is, is fewshot/measuring/curves.py.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fewshot.measuring.curves import LearningCurve, learning_curve
from fewshot.measuring.measure import Cell, Measured
from fewshot.measuring.tables import of_cell, rows_of
from fewshot.reporting.wording import UNKNOWN, count, interval, percent

FEWEST = 3  # numbers of images: a power law has as many parameters
TARGETS = (0.90, 0.95)
MARGIN = 0.01  # the other target: this much below the mean at the largest number
BEYOND = 2  # times the largest measured number: what lies further is marked
CURVES = (
    *("set", "method", "points", "n", "smallest", "largest", "a", "b", "c", "residual", "warning"),
    *("doubled", "mean_doubled", "ci_doubled_low", "ci_doubled_high"),
    *("target", "accuracy", "images", "images_low", "images_high", "extrapolated"),
)


@dataclass(frozen=True)
class Fitted:
    """The curve of one method on one set."""

    set: str
    method: str
    curve: LearningCurve

    @property
    def smallest(self) -> int:
        return int(self.curve.shots[0])

    @property
    def largest(self) -> int:
        return int(self.curve.shots[-1])

    @property
    def warning(self) -> str:
        """Why not to rely on it: "flat", "poor" (it misses a mean), "three points" (it can't miss one), or ""."""
        if self.curve.flat:
            return "flat"
        if self.curve.poor:
            return "poor"
        return "three points" if len(self.curve.shots) == FEWEST else ""


def fitted_curves(measured: Measured) -> list[Fitted]:
    """The curve of every set and method that was scored at three numbers of images or more."""
    fitted = []
    for set_, method in dict.fromkeys((cell.set, cell.method) for cell in measured.cells):
        cells = [cell for cell in measured.cells if (cell.set, cell.method) == (set_, method) and cell.shots]
        scored = sorted((cell for cell in cells if cell in measured.outcomes), key=lambda cell: cell.shots)
        if len(scored) >= FEWEST:
            shots = np.array([cell.shots for cell in scored])
            fitted.append(Fitted(set_, method, learning_curve(shots, _accuracies(measured, scored))))
    return fitted


def _accuracies(measured: Measured, cells: list[Cell]) -> np.ndarray:
    """(splits, cells), NaN where a split has no scored trial."""
    columns = [of_cell(measured, cell).set_index("split")["accuracy"] for cell in cells]
    return pd.concat(columns, axis=1).sort_index().to_numpy(float)


def table(fitted: list[Fitted]) -> pd.DataFrame:
    """A row for each curve and target (CURVES).

    `a`, `b`, `c` of accuracy = a - b * N^-c; `residual` is by how much it misses a mean, at most; `n` splits;
    `mean_doubled` is the curve at `doubled`, twice the largest number. `target` is "largest - 1 point" or "90 %",
    `accuracy` what that is; `images` how many a class reach it, with a 95 % interval over splits: "inf" is by no number
    that the curve can tell, and where the `smallest` does it already, that is all that is known. `extrapolated` is 1
    where `images` is more than twice the largest number.
    """
    rows = [row for each in fitted for row in _rows(each)]
    return pd.DataFrame(rows, columns=list(CURVES))


def _rows(fitted: Fitted) -> list[dict[str, Any]]:
    curve = fitted.curve
    doubled = BEYOND * fitted.largest
    low, high = (float(end[0]) for end in curve.band(np.array([doubled])))
    law = curve.law
    about = {
        "set": fitted.set,
        "method": fitted.method,
        "points": len(curve.shots),
        "n": curve.splits,
        "smallest": fitted.smallest,
        "largest": fitted.largest,
        "a": law.a[0],
        "b": law.b[0] * law.unit ** law.c[0],
        "c": law.c[0],
        "residual": curve.residual,
        "warning": fitted.warning,
        "doubled": doubled,
        "mean_doubled": law.at(np.array([doubled]))[0, 0],
        "ci_doubled_low": low,
        "ci_doubled_high": high,
    }
    wanted = [(f"largest - {100 * MARGIN:g} point", MARGIN, True), *((f"{100 * t:g} %", t, False) for t in TARGETS)]
    rows = []
    for name, target, below_last in wanted:
        images = [max(end, fitted.smallest) for end in curve.needed(target, below_last)]  # max(nan, x) is nan
        rows.append(
            {**about, "target": name, "accuracy": curve.means[-1] - target if below_last else target}
            | {"images": images[0], "images_low": images[1], "images_high": images[2]}
            | {"extrapolated": int(BEYOND * fitted.largest < images[0] < math.inf)}
        )
    return rows


def needed(row: Any) -> str:
    """A row's number of images with its interval, in a table's cell: "17 [15, 20]", "6 or fewer", "not reached"."""
    low, high = row.images_low, row.images_high
    if math.isinf(row.images):
        return "not reached" if not math.isfinite(low) else f"not reached [{count(low)}, {UNKNOWN}]"
    if row.images <= row.smallest and not high > row.smallest:
        return f"{count(row.images)} or fewer"
    mark = "*" if row.extrapolated else ""
    if math.isnan(low):
        return f"{count(row.images)}{mark}"
    return f"{count(row.images)}{mark} [{count(low)}, {count(high) if math.isfinite(high) else UNKNOWN}]"


def by_curve(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """The table as a person compares it: a row for each curve, its targets side by side."""
    shown = []
    for _, rows in curves.groupby(["set", "method"], sort=False):
        first = next(rows_of(rows))
        shown.append(
            {"set": first.set, "method": first.method, "n": first.n, "doubled": first.doubled}
            | {"largest": first.largest, "at_double": percent(first.mean_doubled), "warning": warning(first)}
            | {"range": interval(first.ci_doubled_low, first.ci_doubled_high)}
            | {"needed": [needed(row) for row in rows_of(rows)]}
        )
    return shown


def warning(row: Any) -> str:
    """What a row's warning means, in a table's cell."""
    if row.warning == "poor":
        return f"misses a mean by {percent(row.residual)} points"
    return {"flat": "doesn't rise", "three points": "three points: can't miss them"}.get(row.warning, "")


def sentence(curves: pd.DataFrame, focus: Cell | None) -> str:
    """What the best method's curve says, in words; "" where it has none."""
    rows = [row for row in rows_of(curves) if focus and (row.set, row.method) == (focus.set, focus.method)]
    if not rows:
        return ""
    who, first = f"{rows[0].method} on {rows[0].set}", rows[0]
    if first.warning == "flat":
        return f"{who} doesn't gain from more than {count(first.smallest)} images a class, as far as was measured."
    text = (
        f"With {who}, {needed(first)} images a class come within a point of what {count(first.largest)} give; "
        f"twice as many, {count(first.doubled)}, would give {percent(first.mean_doubled)} %"
        f"{_bracket(first.ci_doubled_low, first.ci_doubled_high)}."
    )
    reached = [
        f"{row.target} with {needed(row).replace('*', ' by extrapolation')}"
        for row in rows[1:]
        if math.isfinite(row.images)
    ]
    never = [row.target for row in rows[1:] if math.isinf(row.images)]
    if reached:
        text += f" It reaches {' and '.join(reached)}."
    if never:
        text += (
            f" {' and '.join(never)} {'is' if len(never) == 1 else 'are'} not reached by any number that it can tell."
        )
    return text


def _bracket(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" {interval(low, high)}"
