"""The learning curve: accuracy against training images a class, a line a method.

Colours are classes of page.css, `c0` ... `c5` by the method's place in the sweep, and never the only sign: methods have
different markers, and their names stand at their lines.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fewshot.measuring.curves import LearningCurve
from fewshot.measuring.tables import decisive, rows_of
from fewshot.reporting import wording
from fewshot.reporting.svg import LETTER, Scale, line, path, picture, spread, tag

COLOURS = 6
STEPS = 33  # of a fitted curve
STRIP, BREAK = 46, 24  # px: the heights of the lower part of a broken scale, and of the gap above it


def learning_curve(
    rows: pd.DataFrame,
    among: pd.DataFrame,
    methods: Sequence[str],
    width: int,
    height: int,
    fitted: Mapping[str, LearningCurve] | None = None,
) -> Markup:
    """Accuracy against shots for the `rows` of one set, on a scale that fits all sets of the results table `among`.

    A line a method, labelled at its end. The band is the 95 % interval for new images (the one over splits where there
    is no other), the bar at a point the one over splits. Where a power law was `fitted` to a method's points, it is the
    line, with a narrow band of its own; elsewhere the points are joined. A method without training images (shots 0) is
    a level line. Where level lines lie far below the others they get a lower part of their own: the scale is
    broken, and shows it.
    """
    scored = rows[rows["n"] > 0]
    longest = max((len(f"{method} 99.9") for method in [*methods, "chance"]), default=0)
    frame = _Frame(left=40, right=width - 12 - LETTER * longest, top=12, bottom=height - 40)
    scale, guess = _fit(among[among["n"] > 0], frame)
    shots = sorted(set(scored.loc[scored["shots"] > 0, "shots"]))
    x = Scale(_log(shots[0]), _log(shots[-1]), frame.left + 22, frame.right - 14) if shots else None
    parts: list[Markup] = [*scale.drawn(frame), *_shots_axis(shots, x, frame)]
    labels: list[tuple[float, Markup, str]] = []
    for chance in guess:  # what a level line is to be compared with
        parts.append(line(frame.left, scale(chance), frame.right, scale(chance), "chance"))
        labels.append((scale(chance), _label_text("chance", chance), "chance"))
    for place, method in enumerate(methods):
        of_method = [row for row in rows_of(scored) if row.method == method]
        if not of_method:
            continue
        colour = f"c{place % COLOURS}"
        aside = 3.0 * (place - (len(methods) - 1) / 2)  # px: bars at one place don't hide each other
        for level in (row for row in of_method if not row.shots):
            parts += _level(level, scale, frame, colour)
        curve = [(x(_log(row.shots)) + aside, row) for row in of_method if x and row.shots]
        law = (fitted or {}).get(method)
        smooth = _smooth(law, x, aside) if law and x else None
        parts += _curve(curve, smooth, scale, colour, place) if curve else []
        labels.append((scale(of_method[-1].mean), _label_text(method, of_method[-1].mean), colour))
    places = spread([place for place, _, _ in labels], 17, frame.top + 4, frame.bottom)
    for y, (_, text, colour) in zip(places, labels, strict=True):
        parts.append(tag("text", text, x=frame.right + 8, y=y + 4, class_=f"label fill {colour}"))
    return picture(width, height, _curve_title(scored), *parts, class_="curve")


@dataclass(frozen=True)
class _Frame:
    """The plot's edges, px."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class _Accuracy:
    """The vertical scale: `upper`, and below a break `lower` for level lines that lie far beneath."""

    upper: Scale
    lower: Scale | None

    def __call__(self, value: float) -> float:
        if self.lower and value < self.upper.low:
            return self.lower.clipped(value)
        return self.upper.clipped(value)

    def drawn(self, frame: _Frame) -> list[Markup]:
        """Grid lines with their percentages, and the two strokes of a broken scale."""
        ticks = _ticks(self.upper.low, self.upper.high)
        parts: list[Markup] = []
        for tick in [0.0, self.lower.high, *ticks] if self.lower else ticks:
            y = self.lower(tick) if self.lower and tick < self.upper.low else self.upper(tick)
            parts.append(line(frame.left, y, frame.right, y, "grid"))
            unit = " %" if tick == ticks[-1] else ""
            parts.append(tag("text", f"{100 * tick:.0f}{unit}", x=frame.left - 6, y=y + 4, class_="tick end"))
        if self.lower:
            middle = (self.upper.start + self.lower.end) / 2
            parts += [
                line(frame.left - 5, middle + offset + 3, frame.left + 5, middle + offset - 3, "break")
                for offset in (-2.5, 2.5)
            ]
        return parts


def _fit(scored: pd.DataFrame, frame: _Frame) -> tuple[_Accuracy, list[float]]:
    """A scale for just what the curves need and the level lines that lie near; the others go below the break.

    Returns the accuracy of guessing, too, where there is a level line to compare with it.
    """
    levels = list(scored.loc[scored["shots"] == 0, "mean"])
    guess = [float(scored["chance"].iloc[0])] if levels else []
    heights = [end for row in rows_of(scored) if row.shots for end in _reach(row)] or [*levels, *guess] or [0.0, 1.0]
    near = [level for level in levels + guess if level > min(heights) - 0.15]
    low, high = min(heights + near), max(heights + near)
    margin = max(0.06 * (high - low), (0.1 - (high - low)) / 2)  # ten points at least
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    far = [level for level in levels + guess if level < low]
    if not far:
        return _Accuracy(Scale(low, high, frame.bottom, frame.top), None), guess
    ceiling = math.ceil(max(far) * 10 + 0.5) / 10
    upper = Scale(low, high, frame.bottom - STRIP - BREAK, frame.top)
    return _Accuracy(upper, Scale(0, ceiling, frame.bottom, frame.bottom - STRIP)), guess


def _reach(row: Any) -> tuple[float, float]:
    """What of a row the scale must show: its band, but not all of the vast one that two or three splits give."""
    low, high = decisive(row)
    if math.isnan(low):
        return row.mean, row.mean
    return max(low, row.mean - 2 * row.sd), min(high, row.mean + 2 * row.sd)


def _ticks(low: float, high: float) -> list[float]:
    """Round values within [low, high], three to seven of them."""
    step = next((step for step in (0.01, 0.02, 0.05, 0.1) if (high - low) / step < 7), 0.2)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log(shots: float) -> float:
    return math.log(shots)


def _shots_axis(shots: list[int], x: Scale | None, frame: _Frame) -> list[Markup]:
    if x is None:
        return []
    parts = [
        tag("text", wording.count(number), x=x(_log(number)), y=frame.bottom + 18, class_="tick middle")
        for number in shots
    ]
    middle = (frame.left + frame.right) / 2
    return [*parts, tag("text", "training images a class", x=middle, y=frame.bottom + 35, class_="axis middle")]


Smooth = list[tuple[float, float, float, float]]  # place, accuracy, and the ends of its interval


def _smooth(curve: LearningCurve, x: Scale, aside: float) -> Smooth:
    """A fitted curve at close places over the measured numbers."""
    shots = np.geomspace(curve.shots[0], curve.shots[-1], STEPS)
    low, high = curve.band(shots)
    values = zip(shots.tolist(), curve.law.at(shots)[0].tolist(), low.tolist(), high.tolist(), strict=True)
    return [(x(_log(images)) + aside, *rest) for images, *rest in values]


def _joined(points: list[tuple[float, Any]], smooth: Smooth | None, y: _Accuracy, colour: str) -> list[Markup]:
    """The line through a method's points: the fitted curve with its band, or straight from one to the next."""
    clip = y.upper.clipped
    if smooth is None:
        return [path([(place, clip(row.mean)) for place, row in points], f"curve-line stroke {colour}")]
    fitted = path([(place, clip(mean)) for place, mean, _, _ in smooth], f"curve-line stroke {colour}")
    if math.isnan(smooth[0][2]):
        return [fitted]
    edge = [(place, clip(high)) for place, _, _, high in smooth]
    edge += [(place, clip(low)) for place, _, low, _ in reversed(smooth)]
    return [path(edge, f"band of-curve fill {colour}", closed=True), fitted]


def _curve(
    points: list[tuple[float, Any]], smooth: Smooth | None, y: _Accuracy, colour: str, marker: int
) -> list[Markup]:
    """The band, line, bars and markers of one method, from (place, row of the results)."""
    clip = y.upper.clipped
    known = [(place, *decisive(row)) for place, row in points if not math.isnan(row.ci_low)]
    edge = [(place, clip(high)) for place, _, high in known] + [(place, clip(low)) for place, low, _ in reversed(known)]
    parts = []
    if len(known) > 1:
        parts.append(path(edge, f"band fill {colour}", closed=True))
    elif known:  # a single number of shots has no width: a broad bar instead of a band
        parts.append(line(*edge[0], *edge[1], f"broad stroke {colour}"))
    parts += _joined(points, smooth, y, colour)
    parts += [
        line(place, clip(row.ci_low), place, clip(row.ci_high), f"bar stroke {colour}")
        for place, row in points
        if not math.isnan(row.ci_low)
    ]
    return parts + [_marker(place, clip(row.mean), marker, colour, _point_title(row)) for place, row in points]


def _level(row: Any, y: _Accuracy, frame: _Frame, colour: str) -> list[Markup]:
    parts = []
    low, high = decisive(row)
    if not math.isnan(low):
        corners = [(frame.left, y(high)), (frame.right, y(high)), (frame.right, y(low)), (frame.left, y(low))]
        parts.append(path(corners, f"band fill {colour}", closed=True))
    stroke = line(frame.left, y(row.mean), frame.right, y(row.mean), f"level stroke {colour}")
    return [*parts, tag("g", tag("title", _point_title(row)), stroke)]


def _marker(x: float, y: float, kind: int, colour: str, title: str) -> Markup:
    """Circle, square, diamond, triangle, by the method's place."""
    r = 4.2
    shapes = [
        lambda: tag("circle", tag("title", title), cx=x, cy=y, r=r, class_=f"marker fill {colour}"),
        lambda: _polygon([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)], colour, title),
        lambda: _polygon([(x, y - 1.4 * r), (x + 1.4 * r, y), (x, y + 1.4 * r), (x - 1.4 * r, y)], colour, title),
        lambda: _polygon([(x, y - 1.3 * r), (x + 1.2 * r, y + r), (x - 1.2 * r, y + r)], colour, title),
    ]
    return shapes[kind % len(shapes)]()


def _polygon(corners: list[tuple[float, float]], colour: str, title: str) -> Markup:
    points = " ".join(f"{px:.2f},{py:.2f}" for px, py in corners)
    return tag("polygon", tag("title", title), points=points, class_=f"marker fill {colour}")


def _point_title(row: Any) -> str:
    where = f"{row.method}, {row.shots} a class" if row.shots else str(row.method)
    return f"{where}: {wording.percent(row.mean)} % {wording.interval(row.ci_low, row.ci_high)}, n = {row.n}"


def _label_text(method: str, mean: float) -> Markup:
    return Markup("").join(
        [tag("tspan", method, class_="name"), tag("tspan", f" {wording.percent(mean)}", class_="num")]
    )


def _curve_title(rows: pd.DataFrame) -> str:
    return "Accuracy by training images a class. " + "; ".join(_point_title(row) for row in rows_of(rows))
