"""How many images a class an accuracy needs, by the power laws through the learning curves."""

import math
from typing import Any

import pandas as pd

from curate.foundation.markdown import escape, table
from fewshot.measuring import fitted_curve
from fewshot.measuring.measure import Cell
from fewshot.measuring.tables import rows_of
from fewshot.reporting.elements.wording import UNKNOWN, count, interval, percent
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

TARGETS = tuple(f"{100 * target:g} %" for target in fitted_curve.TARGETS)
NOTE = (
    "Images a class that reach an accuracy, by the power law accuracy = a − b · N^−c through the means; brackets are "
    "95 % intervals from resampling whole splits, and take the power law for granted. \\* lies beyond twice the "
    "largest number that was measured."
)


class NeededImages(Section):
    """For each set and method, the number of images that each target takes; curves.csv has all of the fits."""

    anchor = "needed"
    heading = "How many images are needed"

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        self.curves = fitted_curve.table(content.fitted)
        self.rows = _by_curve(self.curves)
        self.sentence = sentence(self.curves, content.focus)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"curves": self.curves}

    def html(self) -> str:
        if not self.rows:
            return ""
        return self.render(
            rows=self.rows,
            targets=TARGETS,
            sentence=self.sentence,
            extrapolated=bool(self.curves["extrapolated"].any()),
        )

    def markdown(self) -> list[str]:
        if not self.rows:
            return []
        rows = [
            (row["set"], row["method"], *row["needed"], f"{row['at_double']} {row['range']}", row["warning"] or UNKNOWN)
            for row in self.rows
        ]
        head = ("set", "method", "a point below the most images", *TARGETS, "twice as many would give %", "fit")
        said = [escape(self.sentence)] if self.sentence else []
        return [*said, table(head, rows, numeric=range(2, len(head) - 1)), NOTE]


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


def _by_curve(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """The table as a person compares it: a row for each curve, its targets side by side."""
    shown = []
    for _, rows in curves.groupby(["set", "method"], sort=False):
        first = next(rows_of(rows))
        shown.append(
            {"set": first.set, "method": first.method, "n": first.n, "doubled": first.doubled}
            | {"largest": first.largest, "at_double": percent(first.mean_doubled), "warning": _warning(first)}
            | {"range": interval(first.ci_doubled_low, first.ci_doubled_high)}
            | {"needed": [needed(row) for row in rows_of(rows)]}
        )
    return shown


def _warning(row: Any) -> str:
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
