"""Paired differences as marks beside their numbers: a dot and two intervals against zero, on one common scale."""

import math

import pandas as pd
from markupsafe import Markup

from fewshot.reporting import wording
from fewshot.reporting.svg import Scale, line, path, picture, tag

STEPS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
WIDTH = 180  # px


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
