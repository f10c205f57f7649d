"""A sweep's report: tables (CSV), Markdown, one self-contained HTML page, and a table for the terminal.

What it says is in sections/, a file a section. Everything is computed from the stored records and predictions: the same
records give the same bytes. Only the page holds something else than what was measured: how long the computing took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are used: `fewshot --help` stays light
    import pandas as pd
    from rich.table import Table

    from curate.sweeps.records import Sweep


@dataclass(frozen=True)
class ReportFiles:
    """What was written, and the table of results that it shows. `csv`: the sections' tables, "results" -> its file."""

    csv: Mapping[str, Path]
    markdown: Path
    html: Path
    table: "pd.DataFrame"


def write_report(sweep_dir: Path, out: Path | None = None) -> ReportFiles:
    """Write the report of the sweep in `sweep_dir`, finished or not, into `out` (by default, beside its records).

    Each file appears whole or not at all. Raises FewposeError where `sweep_dir` holds no sweep.
    """
    from curate.foundation import atomic
    from curate.sweeps.records import read_sweep
    from fewshot.measuring.tables import to_csv
    from fewshot.reporting import markdown, page
    from fewshot.reporting.sections import SECTIONS
    from fewshot.reporting.sections.content import Content

    content = Content.of(read_sweep(sweep_dir))
    sections = [section(content) for section in SECTIONS]
    out = out or sweep_dir
    tables = {name: table for section in sections for name, table in section.tables().items()}
    csv = {name: out / f"{name}.csv" for name in tables}
    files = ReportFiles(csv, out / "report.md", out / "report.html", content.results)
    for name, file in csv.items():
        atomic.write_bytes(file, to_csv(tables[name]))
    atomic.write_text(files.markdown, markdown.render(content.summary, sections))
    atomic.write_text(files.html, page.render(content.summary, sections))
    return files


def terminal_table(sweep: "Sweep | ReportFiles") -> "Table":
    """The results as a rich Table, of a sweep or, without computing anything again, of a report just written."""
    from fewshot.measuring import measure, tables
    from fewshot.reporting import terminal

    if isinstance(sweep, ReportFiles):
        return terminal.results_table(sweep.table)
    return terminal.results_table(tables.results(measure.measure(sweep)))
