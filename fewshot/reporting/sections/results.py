"""The table of results: accuracy with its intervals for each set, method and number of images, and other scores."""

from typing import Any

import pandas as pd

from curate.foundation.markdown import table
from fewshot.measuring import tables
from fewshot.reporting.elements.wording import interval, percent
from fewshot.reporting.sections.section import Section


class Results(Section):
    """Every cell of the sweep, also those of which no trial could be scored yet."""

    anchor = "results"
    heading = "Results"
    leads_markdown = True

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"results": self.content.results}

    def html(self) -> str:
        results, measured = self.content.results, self.content.measured
        return self.render(
            rows=self._compared(),
            chance=1 / len(measured.sweep.classes),
            majority=measured.majority,
            calibrated=bool(results["ece_calibrated"].notna().any()),
        )

    def _compared(self) -> list[dict[str, Any]]:
        """The rows as a person compares them: by set, then shots; the best of each such block marked."""
        results = self.content.results
        rows: list[dict[str, Any]] = [row._asdict() for row in tables.rows_of(results)]
        sets = list(dict.fromkeys(results["set"]))
        rows.sort(key=lambda row: (sets.index(row["set"]), row["shots"]))
        best = {}
        for set_, shots in {(row["set"], row["shots"]) for row in rows}:
            here = [row for row in tables.rows_of(results) if (row.set, row.shots) == (set_, shots)]
            best[set_, shots] = max((row.mean for row in tables.contenders(here)), default=None)
        for before, row in zip([None, *rows], rows, strict=False):
            row["again"] = before is not None and before["set"] == row["set"]
            row["starts"] = before is not None and (before["set"], before["shots"]) != (row["set"], row["shots"])
            row["best"] = row["mean"] == best[row["set"], row["shots"]] and row["shots"] > 0
        return rows

    def markdown(self) -> list[str]:
        rows = [
            (
                *(row.set, row.shots, row.method, row.n, percent(row.mean), interval(row.ci_low, row.ci_high)),
                interval(row.ci_corrected_low, row.ci_corrected_high),
                *(interval(row.ci_images_low, row.ci_images_high), percent(row.sd)),
                *(percent(row.balanced_accuracy), percent(row.macro_f1)),
                *(percent(row.ece), percent(row.ece_calibrated), row.failed, row.unfinished),
            )
            for row in tables.rows_of(self.content.results)
        ]
        head = (
            *("set", "images a class", "method", "splits", "accuracy %", "95 % over splits", "95 % for new images"),
            *("95 % other test images", "SD", "balanced %", "macro-F1 %"),
            *("calibration error %", "with temperature", "failed", "to come"),
        )
        return [table(head, rows, numeric=(1, *range(3, 15)))]
