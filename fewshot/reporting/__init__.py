"""A sweep's report: tables (CSV), Markdown, one self-contained HTML page, and a table for the terminal.

Everything is computed from the stored records and predictions: the same records give the same bytes. Only the page
depends on anything but what was measured: it tells how long the computing took.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are used: `fewshot --help` stays light
    import pandas as pd
    from rich.table import Table

    from fewshot.trials.records import Sweep


@dataclass(frozen=True)
class ReportFiles:
    """What a report consists of, and the table of results that it shows."""

    results: Path
    differences: Path
    wrong: Path
    curves: Path
    classes: Path
    influence: Path
    markdown: Path
    html: Path
    table: "pd.DataFrame"


def write_report(sweep_dir: Path, out: Path | None = None) -> ReportFiles:
    """Write the report of the sweep in `sweep_dir`, finished or not, into `out` (by default, beside its records).

    Each file appears whole or not at all. Raises FewposeError where `sweep_dir` holds no sweep.
    """
    from curate.foundation import atomic
    from fewshot.measuring import tables
    from fewshot.reporting import markdown, page
    from fewshot.reporting.content import Content
    from fewshot.trials.records import read_sweep

    content = Content.of(read_sweep(sweep_dir))
    out = out or sweep_dir
    files = ReportFiles(
        results=out / "results.csv",
        differences=out / "differences.csv",
        wrong=out / "wrong.csv",
        curves=out / "curves.csv",
        classes=out / "classes.csv",
        influence=out / "influence.csv",
        markdown=out / "report.md",
        html=out / "report.html",
        table=content.results,
    )
    atomic.write_bytes(files.results, tables.to_csv(content.results))
    atomic.write_bytes(files.differences, tables.to_csv(content.differences))
    atomic.write_bytes(files.wrong, tables.to_csv(content.wrong))
    atomic.write_bytes(files.curves, tables.to_csv(content.curves))
    atomic.write_bytes(files.classes, tables.to_csv(content.classes))
    atomic.write_bytes(files.influence, tables.to_csv(content.influence))
    atomic.write_text(files.markdown, markdown.render(content))
    atomic.write_text(files.html, page.render(content))
    return files


def terminal_table(sweep: "Sweep | ReportFiles") -> "Table":
    """The results as a rich Table, of a sweep or, without computing anything again, of a report just written."""
    from fewshot.measuring import measure, tables
    from fewshot.reporting import terminal

    if isinstance(sweep, ReportFiles):
        return terminal.results_table(sweep.table)
    return terminal.results_table(tables.results(measure.measure(sweep)))
