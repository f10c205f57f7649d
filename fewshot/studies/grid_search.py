"""A grid search: one sweep for each combination of settings, each in a directory of its own, and a table of all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curate.foundation import atomic, console
from curate.foundation.errors import UsageError
from curate.sweeps.records import read_sweep
from fewshot import methods
from fewshot.measuring import tables
from fewshot.measuring.measure import measure
from fewshot.sweeping.settings import SweepSettings, options

if TYPE_CHECKING:
    from rich.table import Table

    from fewshot.sweeping.run import SweepSummary

TABLE = "recipes.csv"
RESULTS = (
    *("directory", "set", "method", "shots", "n", "mean", "sd", "ci_low", "ci_high"),
    *("ci_corrected_low", "ci_corrected_high", "failed", "diverged", "unfinished", "real_images"),
)


@dataclass(frozen=True)
class GridPoint:
    """One sweep of a grid search. `name`: its directory in that of the search; "" for a sweep that is alone. `varied`:
    the settings in which it differs from the others, by name.
    """

    name: str
    settings: SweepSettings
    varied: dict[str, Any] = field(default_factory=dict)


def grid_point(name: str, out: Path, settings: SweepSettings, varied: dict[str, Any] | None = None) -> GridPoint:
    """`settings` as a point of the grid search in `out`."""
    return GridPoint(name, settings.replaced(out=out / name), varied or {})


def run(
    grid_points: Sequence[GridPoint], out: Path, *, retry_failed: bool = False, say: Callable[[str], None] | None = None
) -> "list[SweepSummary]":
    """Run what is missing of each point, and write `out`/recipes.csv after each, to have a table before the end.

    The settings of all are checked before the first runs. `say` gets a line on each before it runs. Raises what
    run_sweep raises, and UsageError where `out` holds a single sweep.
    """
    if (out / "sweep.json").exists():
        raise UsageError(f"{out} holds a single sweep, and this is a grid search of several; choose another --out")
    for each in grid_points:
        for name in each.settings.grid.methods:
            methods.build(name, options(each.settings.method_settings(name))[0])
    from fewshot.sweeping.run import run_sweep  # it loads torch, which what is asked is understood without

    summaries = []
    for number, each in enumerate(grid_points, 1):
        (say or _say)(f"{number}/{len(grid_points)}: {each.name}")
        summaries.append(run_sweep(each.settings, retry_failed=retry_failed))
        atomic.write_bytes(out / TABLE, tables.to_csv(table(grid_points[:number])))
    return summaries


def _say(text: str) -> None:
    console.note(text)


def table(grid_points: Sequence[GridPoint]) -> pd.DataFrame:
    """Each grid point's results: what is varied, a column each ("" where a point varies something else), then RESULTS.

    `diverged` counts those of `failed` whose training diverged.
    """
    names = list(dict.fromkeys(name for each in grid_points for name in each.varied))
    rows = [dict.fromkeys(names, "") | each.varied | row for each in grid_points for row in _results(each)]
    return pd.DataFrame(rows, columns=[RESULTS[0], *names, *RESULTS[1:]])


def _results(each: GridPoint) -> list[dict[str, Any]]:
    """The rows of RESULTS that this point asks for; the sweep in its directory may be wider."""
    measured = measure(read_sweep(each.settings.out))
    failed = measured.failed
    rows = []
    for row in tables.results(measured).to_dict("records"):
        if not _asked(each.settings, row):
            continue
        place = (failed["set"] == row["set"]) & (failed["method"] == row["method"]) & (failed["shots"] == row["shots"])
        diverged = int((failed.loc[place, "cause"] == "diverged").sum())
        rows.append({name: row.get(name) for name in RESULTS} | {"directory": each.name, "diverged": diverged})
    return rows


def _asked(settings: SweepSettings, row: dict[Any, Any]) -> bool:
    shots = (*settings.grid.shots, 0)
    return row["method"] in settings.grid.methods and row["set"] in settings.grid.sets and row["shots"] in shots


def settings_name(varied: dict[str, Any]) -> str:
    """What is varied, as a part of a directory's name: "lr=1e-05,epochs=5"."""
    return ",".join(f"{name}={_text(value)}" for name, value in varied.items())


def _text(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(letter if letter.isalnum() or letter in "+-._" else "-" for letter in text)


def of_base(names: Sequence[str], base: str) -> tuple[str, ...]:
    """The methods among `names` that are forms of one: finetune and finetune@0.5 of finetune."""
    return tuple(name for name in names if methods.parse(name).base == base)


def terminal_table(results: pd.DataFrame) -> "Table":
    """The grid search as a rich Table: what is varied, and accuracy with its interval over splits."""
    from rich.table import Table

    from fewshot.reporting.elements.wording import count, interval, percent

    varied = list(results.columns[1 : list(results.columns).index("set")])
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*varied, "set", "method"):
        shown.add_column(name, overflow="fold")
    for name in ("N", "splits", "accuracy %", "95 % interval", "diverged"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in results.to_dict("records"):
        cells = [_text(row[name]) for name in varied] + [row["set"], row["method"], str(row["shots"])]
        cells += [count(row["n"]), percent(row["mean"]), interval(row["ci_low"], row["ci_high"])]
        shown.add_row(*console.texts([*cells, str(row["diverged"] or "")]))
    return shown
