"""Stated confidence against the share of right answers, in one cell, over all its splits."""

from dataclasses import dataclass

import numpy as np

from curate.sweeps import records
from curate.sweeps.records import Trial
from fewshot.measuring import metrics
from fewshot.measuring.measure import Cell, Measured, temperature
from fewshot.measuring.metrics import Reliability
from fewshot.measuring.tables import of_cell


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
