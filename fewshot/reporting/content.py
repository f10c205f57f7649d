"""What the page and the Markdown show: a measured sweep, its tables and its sentences."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fewshot.measuring import tables
from fewshot.measuring.measure import Cell, Measured, measure
from fewshot.reporting import fitted_curve, influence, per_class, reliability, summary
from fewshot.reporting.fitted_curve import Fitted
from fewshot.trials.records import Sweep


@dataclass(frozen=True)
class Content:
    """Everything that a report says; how it looks is up to who shows it."""

    measured: Measured
    results: pd.DataFrame
    differences: pd.DataFrame
    wrong: pd.DataFrame
    fitted: list[Fitted]
    curves: pd.DataFrame
    classes: pd.DataFrame
    class_warnings: list[str]
    calibration: reliability.Calibration | None
    influence: pd.DataFrame
    summary: summary.Summary

    @classmethod
    def of(cls, sweep: Sweep) -> "Content":
        measured = measure(sweep)
        results, differences = tables.results(measured), tables.differences(measured)
        focus = tables.focus(results)
        fitted = fitted_curve.fitted_curves(measured)
        classes = per_class.classes(measured)
        return cls(
            measured=measured,
            results=results,
            differences=differences,
            wrong=tables.wrong_images(measured, focus),
            fitted=fitted,
            curves=fitted_curve.table(fitted),
            classes=classes,
            class_warnings=per_class.warnings(measured, focus, classes),
            calibration=reliability.calibration(measured, focus),
            influence=influence.influence(measured),
            summary=summary.summarize(measured, results, differences),
        )

    @property
    def focus(self) -> Cell | None:
        """The cell whose mistakes are shown: the most accurate one."""
        return tables.focus(self.results)

    @property
    def confusion(self) -> np.ndarray | None:
        """The focus cell's confusion counts, (classes, classes)."""
        return self.measured.confusions[self.focus] if self.focus else None
