"""What the page and the Markdown show: a measured sweep, its tables and its sentences."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fewshot.records import Sweep
from fewshot.report import summary, tables
from fewshot.report.measure import Cell, Measured, measure


@dataclass(frozen=True)
class Content:
    """Everything that a report says; how it looks is up to who shows it."""

    measured: Measured
    results: pd.DataFrame
    differences: pd.DataFrame
    wrong: pd.DataFrame
    summary: summary.Summary

    @classmethod
    def of(cls, sweep: Sweep) -> "Content":
        measured = measure(sweep)
        results, differences = tables.results(measured), tables.differences(measured)
        return cls(
            measured=measured,
            results=results,
            differences=differences,
            wrong=tables.wrong_images(measured, tables.focus(results)),
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
