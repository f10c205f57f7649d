"""What sections are made from: a measured sweep, and what several sections need of it, computed at first use."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from curate.sweeps.records import Sweep
from fewshot.measuring import fitted_curve, tables
from fewshot.measuring.fitted_curve import Fitted
from fewshot.measuring.measure import Cell, Measured, measure
from fewshot.reporting.sections import summary


@dataclass(frozen=True)
class Content:
    """What a report is made from; which of it is shown, and how, is decided by its sections."""

    measured: Measured

    @classmethod
    def of(cls, sweep: Sweep) -> "Content":
        return cls(measure(sweep))

    @cached_property
    def results(self) -> pd.DataFrame:
        return tables.results(self.measured)

    @cached_property
    def differences(self) -> pd.DataFrame:
        return tables.differences(self.measured)

    @cached_property
    def fitted(self) -> list[Fitted]:
        """The power laws through the learning curves."""
        return fitted_curve.fitted_curves(self.measured)

    @cached_property
    def summary(self) -> summary.Summary:
        return summary.summarize(self.measured, self.results, self.differences)

    @cached_property
    def focus(self) -> Cell | None:
        """The cell whose mistakes are shown: the most accurate one."""
        return tables.focus(self.results)

    @cached_property
    def wrong(self) -> pd.DataFrame:
        """The images that the focus cell got wrong."""
        return tables.wrong_images(self.measured, self.focus)

    @property
    def confusion(self) -> np.ndarray | None:
        """The focus cell's confusion counts, (classes, classes)."""
        return self.measured.confusions[self.focus] if self.focus else None
