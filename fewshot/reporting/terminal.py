"""The results as a table for the terminal."""

import pandas as pd
from rich.table import Table

from curate.foundation import console
from fewshot.measuring.tables import rows_of
from fewshot.reporting.elements.wording import count, interval, percent


def results_table(results: pd.DataFrame) -> Table:
    """A rich Table of the results; N: training images a class. Names are shown as they are, no markup is read."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("set", overflow="fold", min_width=10)  # unfiltered+augmented20: of all, it may take two lines
    table.add_column("method", no_wrap=True)
    # What fits 80 columns; the rest is in results.csv and on the page.
    for name in ("N", "splits", "accuracy %", "95 % interval", "SD", "F1 %"):
        table.add_column(name, justify="right", no_wrap=True)
    gaps = bool((results["failed"] + results["unfinished"]).sum())
    if gaps:
        table.add_column("not counted")
    for row in rows_of(results):
        cells = [
            row.set,
            row.method,
            str(row.shots),
            count(row.n),
            percent(row.mean),
            interval(row.ci_low, row.ci_high),
        ]
        cells += [percent(row.sd), percent(row.macro_f1)]
        if gaps:
            parts = [
                f"{row.failed} failed" if row.failed else "",
                f"{row.unfinished} to come" if row.unfinished else "",
            ]
            cells.append(", ".join(filter(None, parts)))
        table.add_row(*console.texts(cells))
    return table
