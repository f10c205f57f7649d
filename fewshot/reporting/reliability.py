"""Stated confidence against the share that was right: the reliability diagram of one cell, all its splits together."""

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from fewshot.measuring import metrics
from fewshot.measuring.measure import Cell, Measured, temperature
from fewshot.measuring.metrics import Reliability
from fewshot.measuring.tables import of_cell
from fewshot.reporting import wording
from fewshot.reporting.svg import Scale, line, path, picture, tag
from fewshot.trials import records
from fewshot.trials.records import Trial

LEFT, SIDE, STRIP = 44, 250, 42  # px: the margin, the square, and the strip below that counts images


@dataclass(frozen=True)
class Calibration:
    """A cell's images by how sure the answers were: `stated` by the logits, `calibrated` by them over the temperature.

    `calibrated` is None unless every trial chose one; `temperatures` are the least, the median and the largest.
    """

    stated: Reliability
    calibrated: Reliability | None
    temperatures: tuple[float, float, float] | None


def calibration(measured: Measured, cell: Cell | None) -> Calibration | None:
    """Read a cell's logits again and bin them; None without a cell."""
    if cell is None:
        return None
    by_trial = {record.trial: record for record in measured.sweep.records}
    stated, calibrated, chosen = [], [], []
    for split in of_cell(measured, cell)["split"]:
        trial = Trial(*cell, int(split))
        predictions = records.read_predictions(measured.sweep.directory, trial)
        stated.append(metrics.reliability(predictions.logits, predictions.labels))
        divisor = temperature(by_trial[trial], predictions)
        if divisor:
            calibrated.append(metrics.reliability(predictions.logits / np.float32(divisor), predictions.labels))
            chosen.append(divisor)
    whole = len(calibrated) == len(stated)
    return Calibration(
        stated=_sum(stated),
        calibrated=_sum(calibrated) if whole else None,
        temperatures=(min(chosen), float(np.median(chosen)), max(chosen)) if whole else None,
    )


def _sum(parts: list[Reliability]) -> Reliability:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def sentence(found: Calibration) -> str:
    """Whether the answers are surer than they are right, and what the temperature changes."""
    sure = float(found.stated.confidence.sum() / found.stated.images.sum())
    right = float(found.stated.right.sum() / found.stated.images.sum())
    how = "surer than it should be" if sure > right + 0.01 else "less sure than it could be"
    if abs(sure - right) <= 0.01:
        how = "as sure as it should be on average"
    text = (
        f"It is {how}: a mean confidence of {wording.percent(sure)} %, and {wording.percent(right)} % right; "
        f"the two lie {wording.percent(found.stated.error)} points apart."
    )
    if found.calibrated is None or found.temperatures is None:
        return f"{text} No temperature was chosen on the draws, so there is no calibrated figure beside it."
    low, middle, high = found.temperatures
    reach = f"{middle:.2g}" if low == high else f"{middle:.2g} (from {low:.2g} to {high:.2g})"
    return (
        f"{text} Divided by the temperature that was chosen on the draw, {reach}, they lie "
        f"{wording.percent(found.calibrated.error)} points apart; no answer changes by that."
    )


def reliability_diagram(bins: Reliability, title: str) -> Markup:
    """A dot a bin, its area by the images in it, with a stem to the diagonal, where confidence is what it says."""
    x, y = Scale(0, 1, LEFT, LEFT + SIDE), Scale(0, 1, SIDE + 8, 8)
    bottom = y(0) + 8 + STRIP
    parts = []
    for level, unit in ((0.0, ""), (0.5, ""), (1.0, " %")):
        parts += [
            line(x(0), y(level), x(1), y(level), "grid"),
            line(x(level), y(0), x(level), y(1), "grid"),
            tag("text", f"{100 * level:.0f}", x=x(level), y=bottom + 15, class_="tick middle"),
            tag("text", f"{100 * level:.0f}{unit}", x=LEFT - 6, y=y(level) + 4, class_="tick end"),
        ]
    parts.append(path([(x(0), y(0)), (x(1), y(1))], "diagonal"))
    most = int(bins.images.max(initial=1))
    width = SIDE / len(bins.images)
    for place, count in enumerate(bins.images):
        if not count:
            continue
        sure, right = bins.confidence[place] / count, bins.right[place] / count
        answers = wording.counted(int(count), "answer")
        said = f"{answers}: stated {wording.percent(sure)} %, right {wording.percent(right)} %"
        height = max(1.0, STRIP * count / most)
        parts += [
            line(x(sure), y(sure), x(sure), y(right), "stem"),
            tag("circle", tag("title", said), cx=x(sure), cy=y(right), r=2 + 6 * math.sqrt(count / most), class_="dot"),
            tag("rect", x=x(0) + place * width + 1, y=bottom - height, width=width - 2, height=height, class_="images"),
        ]
    parts.append(tag("text", "stated confidence, %", x=x(0.5), y=bottom + 31, class_="axis middle"))
    return picture(LEFT + SIDE + 14, bottom + 36, title, *parts, class_="reliability")
