"""What can be told apart: paired differences in words, in tables, and as marks beside their numbers.

A mark is a dot and two intervals against zero, all marks of a table on one scale.
"""

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from curate.foundation.markdown import bullets, table
from fewshot.measuring.tables import rows_of, untrained
from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import Scale, line, path, picture, tag
from fewshot.reporting.elements.wording import interval, points
from fewshot.reporting.sections import additions
from fewshot.reporting.sections.section import Section

STEPS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
WIDTH = 180  # px

OUTCOMES = {"higher": "{a} is better", "lower": "{b} is better", "undecided": "not distinguishable"}


class Differences(Section):
    """Methods, training sets and added images compared on the same splits."""

    anchor = "differences"
    heading = "What can be told apart"
    markdown_heading = "Paired differences"

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"differences": self.content.differences}

    def html(self) -> str:
        shown = self._by_kind()
        if not shown:
            return ""
        return self.render(
            additions=additions.sentences(self.content.differences),
            tables=shown,
            comparisons=len(self.content.differences),
        )

    def _by_kind(self) -> list[dict[str, Any]]:
        """Tables, each with marks on its own scale: those against no training would dwarf the others."""
        shown = []
        known = self.content.differences[self.content.differences["n"] > 0].sort_values("shots", kind="stable")
        levels = untrained(self.content.measured.cells)
        level = (known["kind"] == "method") & (known["a"].isin(levels) | known["b"].isin(levels))
        for kind, title, rows in (
            ("method", "Method against method", known[(known["kind"] == "method") & ~level]),
            ("set", "Training set against training set", known[known["kind"] == "set"]),
            ("addition", "Images that are added", known[known["kind"] == "addition"]),
            ("method", f"Against {wording.listing(levels)}, without training images", known[level]),
        ):
            if rows.empty:
                continue
            limit = difference_limit(rows)
            marked = [
                row.to_dict() | {"mark": difference_mark(row, limit), "outcome": outcome(row)}
                for _, row in rows.iterrows()
            ]
            shown.append({"kind": kind, "title": title, "rows": marked, "axis": difference_axis(limit)})
        return shown

    def markdown(self) -> list[str]:
        rows = [
            (
                *(row.shots, row.set or row.method, f"{row.a} − {row.b}", points(row.mean)),
                *(interval(row.ci_low, row.ci_high, True), interval(row.ci_corrected_low, row.ci_corrected_high, True)),
                *(interval(row.ci_images_low, row.ci_images_high, True), row.n, outcome(row)),
            )
            for row in rows_of(self.content.differences)
        ]
        if not rows:
            return []
        head = (
            *("images a class", "on", "comparison", "points"),
            *("95 % over splits", "95 % for new images", "95 % other test images", "splits", "outcome"),
        )
        said = additions.sentences(self.content.differences)
        return [*([bullets(said)] if said else []), table(head, rows, numeric=(0, 3, 4, 5, 6, 7))]


def outcome(row: Any) -> str:
    """Which of the two is better, in words."""
    return OUTCOMES.get(row.verdict, wording.UNKNOWN).format(a=row.a, b=row.b)


def difference_limit(rows: pd.DataFrame) -> float:
    """A common scale for difference marks: ± this share. Comparisons far beyond the others don't set it."""
    reach = rows[["ci_low", "ci_high", "ci_corrected_low", "ci_corrected_high", "mean"]].abs().max(axis=1).dropna()
    if reach.empty:
        return 0.01
    ordered = sorted(reach)
    middle = ordered[len(ordered) // 2]
    usual = [value for value in ordered if value <= max(4 * middle, 0.01)]
    wanted = max(usual) * 1.05
    return next((step for step in STEPS if wanted <= step), 1.0)


def difference_mark(row: pd.Series, limit: float, width: int = WIDTH, height: int = 22) -> Markup:
    """A dot for the mean, a thick line for the plain interval, a thin one for the corrected, against 0."""
    x = Scale(-limit, limit, 6, width - 6)
    y = height / 2
    parts = [line(x(0), 0, x(0), height, "zero")]
    if abs(row["mean"]) > limit:
        tip, way = (width - 2, -1) if row["mean"] > 0 else (2, 1)
        parts.append(path([(tip, y), (tip + 7 * way, y - 4), (tip + 7 * way, y + 4)], "dot", closed=True))
    elif not math.isnan(row["mean"]):
        for low, high, kind in (("ci_corrected_low", "ci_corrected_high", "thin"), ("ci_low", "ci_high", "thick")):
            if not math.isnan(row[low]):
                parts.append(line(x.clipped(row[low]), y, x.clipped(row[high]), y, kind))
        parts.append(tag("circle", cx=x(row["mean"]), cy=y, r=3, class_="dot"))
    return picture(width, height, f"{wording.points(row['mean'])} points", *parts, class_="difference")


def difference_axis(limit: float, width: int = WIDTH) -> Markup:
    """The marks' scale, for the head of their column."""
    x = Scale(-limit, limit, 6, width - 6)
    ends = ((-limit, "start", 0.0), (0.0, "middle", x(0)), (limit, "end", float(width)))
    texts = [tag("text", _tick(value), x=place, y=12, class_=f"tick {anchor}") for value, anchor, place in ends]
    return picture(width, 16, f"scale from {_tick(-limit)} to {_tick(limit)} points", *texts, class_="difference")


def _tick(value: float) -> str:
    text = f"{100 * value:+g}" if value else "0"
    return text.replace("-", wording.MINUS)
