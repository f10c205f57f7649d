"""Two sweeps beside each other: the first one's accuracy minus the other's, cell by cell.

Where both tested the same images in a split (by its digest), the difference is taken split by split, with the two
intervals of docs/statistics.md. Where they didn't, what is left is the difference of two separate means, with Welch's
interval (Biometrika 34, 1947), its variances corrected for shared test images like any other where it is to hold for
new images. Two sweeps of one collection with other splits do share images: then Welch's interval is rather too wide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curate.foundation import atomic, console
from curate.foundation.errors import UsageError
from curate.foundation.markdown import escape, table
from curate.sweeps.records import read_sweep, tells_all_settings
from fewshot.measuring.measure import Cell, Measured, measure
from fewshot.measuring.statistics import LEVEL, NAN, Interval, paired, summarize
from fewshot.measuring.tables import of_cell, rows_of, to_csv, verdict
from fewshot.reporting.elements.wording import UNKNOWN, counted, interval, listing, percent, points

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    *("set", "method", "shots", "pairing", "splits", "first_splits", "first_mean", "other_splits", "other_mean"),
    *("mean", "sd", "ci_low", "ci_high", "ci_corrected_low", "ci_corrected_high", "verdict"),
)
# Of sweep.json, what may explain a difference, in a person's words.
_SETTINGS = {
    "model": "model",
    "weights": "weights",
    "precision": "precision",
    "fit": "fitting into the square",
    "prompts": "prompts",
    "texts": "wording of the classes",
    "images_digest": "images of the collection",
    "split_kind": "kind of split",
    "test_fraction": "test fraction",
    "seed": "seed of the splits",
    "short": "what short classes do",
    "deterministic": "deterministic mode",
}


@dataclass(frozen=True)
class Comparison:
    """`table` has COLUMNS; `notes` are sentences on what is compared how, and on what the sweeps differ in."""

    names: tuple[str, str]
    table: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonFiles:
    """What was written, and what it says."""

    table: Path
    markdown: Path
    comparison: Comparison


def write_comparison(first: Path, other: Path, out: Path | None = None) -> ComparisonFiles:
    """Write compare.csv and compare.md into `out`, by default the first sweep's directory.

    Raises FewposeError where a directory holds no sweep, UsageError where the two have nothing in common.
    """
    comparison = compare(measure(read_sweep(first)), measure(read_sweep(other)), _names(first, other))
    out = out or first
    files = ComparisonFiles(out / "compare.csv", out / "compare.md", comparison)
    atomic.write_bytes(files.table, to_csv(comparison.table))
    atomic.write_text(files.markdown, markdown(comparison))
    return files


def compare(first: Measured, other: Measured, names: tuple[str, str] = ("first", "other")) -> Comparison:
    """Compare the cells that both sweeps have scored. `mean` is the accuracy of the first minus that of the other.

    pairing: "paired" (n `splits` with the same test images) or "unpaired" (`splits` 0). `verdict` is as in
    tables.differences: of the first. Raises UsageError where the classes differ or no cell is common.
    """
    _require_classes(first, other, names)
    common = [cell for cell in first.cells if len(of_cell(first, cell)) and len(of_cell(other, cell))]
    if not common:
        raise UsageError(
            f"{names[0]} and {names[1]} have no finished cell (set, method, images a class) in common: "
            f"{_cells(first)} there, {_cells(other)} here"
        )
    rows = [_row(cell, first, other) for cell in common]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Comparison(names, table, tuple(_notes(first, other, names, table)))


def _require_classes(first: Measured, other: Measured, names: tuple[str, str]) -> None:
    mine, theirs = first.sweep.classes, other.sweep.classes
    if mine != theirs:
        only = [
            f"only {name} has {_few(sorted(set(some) - set(rest)))}"
            for name, some, rest in ((names[0], mine, theirs), (names[1], theirs, mine))
            if set(some) - set(rest)
        ]
        raise UsageError(
            f"{names[0]} and {names[1]} have other classes, so their accuracies say nothing of each other: "
            f"{' and '.join(only)}; sweep both over the same --classes"
        )


def _few(items: Sequence[str], most: int = 5) -> str:
    return listing([*items[:most], f"{len(items) - most} more"] if len(items) > most else items)


def _cells(measured: Measured) -> str:
    done = [cell for cell in measured.cells if len(of_cell(measured, cell))]
    return _few([f"{cell.set} {cell.method} {cell.shots}" for cell in done]) or "nothing finished"


def _row(cell: Cell, first: Measured, other: Measured) -> dict[str, Any]:
    a, b = _accuracies(first, cell), _accuracies(other, cell)
    common = sorted(a.keys() & b.keys())
    mine, theirs = list(a.values()), list(b.values())
    if len(common) > 1 or not _unpaired_is_known(mine, theirs):
        pairs = ({place: values[place] for place in common} for values in (a, b))
        numbered = [dict(enumerate(pair.values())) for pair in pairs]
        plain = paired(numbered[0], numbered[1])
        corrected = paired(numbered[0], numbered[1], overlap=max(first.overlap, other.overlap))
    else:
        common = []
        plain, corrected = welch(mine, theirs), welch(mine, theirs, (first.overlap, other.overlap))
    return {
        **cell._asdict(),
        "pairing": "paired" if common else "unpaired",
        "splits": len(common),
        "first_splits": len(mine),
        "first_mean": summarize(mine).mean,
        "other_splits": len(theirs),
        "other_mean": summarize(theirs).mean,
        "mean": plain.mean if common else summarize(mine).mean - summarize(theirs).mean,
        "sd": plain.sd,
        "ci_low": plain.low,
        "ci_high": plain.high,
        "ci_corrected_low": corrected.low,
        "ci_corrected_high": corrected.high,
        "verdict": verdict(plain, corrected),
    }


def _unpaired_is_known(mine: Sequence[float], theirs: Sequence[float]) -> bool:
    return len(mine) > 1 and len(theirs) > 1


def _accuracies(measured: Measured, cell: Cell) -> dict[tuple[int, str], float]:
    """(split, digest of its test images) -> accuracy. Both are needed: all official splits have one digest.

    A record without a digest pairs with none of another sweep.
    """
    digests = {record.trial: record.digests.get("split", "") for record in measured.sweep.records}
    trials = of_cell(measured, cell)
    own = str(measured.sweep.directory)
    by_split = {trial.split: digest or own for trial, digest in digests.items() if Cell(*_place(trial)) == cell}
    return {
        (split, by_split[split]): accuracy for split, accuracy in zip(trials["split"], trials["accuracy"], strict=True)
    }


def _place(trial: Any) -> tuple[str, str, int]:
    return trial.set, trial.method, trial.shots


def welch(a: Sequence[float], b: Sequence[float], overlaps: tuple[float, float] = (0.0, 0.0)) -> Interval:
    """The difference of two separate means, a - b, with Welch's 95 % t-interval; `n` counts both sides' values.

    `overlaps` corrects each side's variance as in statistics.summarize. `sd` is NaN: there is no difference by split.
    """
    from scipy.stats import t

    if min(len(a), len(b)) < 2 or max(overlaps) >= 1:
        mean = summarize(a).mean - summarize(b).mean
        return Interval(len(a) + len(b), mean, NAN, NAN, NAN)
    sides = [(summarize(values), overlap) for values, overlap in zip((a, b), overlaps, strict=True)]
    variances = [side.sd**2 * (1 / side.n + overlap / (1 - overlap)) for side, overlap in sides]
    mean, total = sides[0][0].mean - sides[1][0].mean, sum(variances)
    if total == 0:
        return Interval(len(a) + len(b), mean, NAN, mean, mean)
    freedom = total**2 / sum(v**2 / (side.n - 1) for v, (side, _) in zip(variances, sides, strict=True))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(total)
    return Interval(len(a) + len(b), mean, NAN, mean - half, mean + half)


def _notes(first: Measured, other: Measured, names: tuple[str, str], table: pd.DataFrame) -> list[str]:
    notes = [f"Differences are {names[0]} minus {names[1]}, in percentage points."]
    unpaired = table[table["pairing"] == "unpaired"]
    if len(unpaired) == len(table):
        notes.append(
            "The two tested other images in their splits, so nothing cancels out: these are differences of separate "
            "means, with Welch's intervals."
        )
    elif len(unpaired):
        notes.append(f"{counted(len(unpaired), 'row')} have no two splits with the same test images: not paired.")
    part = table[
        (table["pairing"] == "paired") & (table["splits"] < table[["first_splits", "other_splits"]].max(axis=1))
    ]
    if len(part):
        notes.append(f"{counted(len(part), 'row')}: only splits that both have, with the same test images, are paired.")
    for name, one, two in ((names[0], first, other), (names[1], other, first)):
        alone = [cell for cell in one.cells if len(of_cell(one, cell)) and not len(of_cell(two, cell))]
        if alone:
            notes.append(f"Only {name} has {_few([f'{c.set} {c.method} {c.shots}' for c in alone])}.")
    return [*notes, _differing(first, other)]


def _differing(first: Measured, other: Measured) -> str:
    mine, theirs = first.sweep.settings, other.sweep.settings
    parts = [
        f"{words} ({_short(mine[name])} and {_short(theirs[name])})"
        if isinstance(mine[name], (str, int, float))
        else words
        for name, words in _SETTINGS.items()
        if name in mine and name in theirs and mine[name] != theirs[name]
    ]
    recipes = mine.get("method_settings", {}), theirs.get("method_settings", {})
    whole = [tells_all_settings(each) for each in (mine, theirs)]
    for method in sorted(recipes[0].keys() & recipes[1].keys()):
        names = recipes[0][method].keys() | recipes[1][method].keys()
        if whole[0] != whole[1]:  # an older sweep doesn't tell its defaults
            names = recipes[1 if whole[0] else 0][method].keys()
        changed = [
            f"{name} ({recipes[0][method].get(name, 'default')} and {recipes[1][method].get(name, 'default')})"
            for name in sorted(names)
            if recipes[0][method].get(name) != recipes[1][method].get(name)
        ]
        if changed:
            parts.append(f"{method}'s {listing(changed)}")
    sets = mine.get("sets", {}), theirs.get("sets", {})
    parts += [f"content of {name}" for name in sets[0] if name in sets[1] and sets[0][name] != sets[1][name]]
    return f"They differ in: {listing(parts)}." if parts else "Their settings are the same."


def _short(value: Any) -> str:
    return str(value) if value != "" else "none"


def _names(first: Path, other: Path) -> tuple[str, str]:
    """What to call them: their folders, as long as those differ."""
    if first.resolve().name != other.resolve().name:
        return first.resolve().name, other.resolve().name
    return str(first), str(other)


def _cells_of(row: Any) -> list[str]:
    outcomes = {"higher": "higher", "lower": "lower", "undecided": "not distinguishable"}
    return [
        row.set,
        row.method,
        str(row.shots),
        percent(row.first_mean),
        percent(row.other_mean),
        points(row.mean),
        interval(row.ci_low, row.ci_high, True),
        interval(row.ci_corrected_low, row.ci_corrected_high, True),
        str(row.splits) if row.pairing == "paired" else f"{row.first_splits}, {row.other_splits} unpaired",
        outcomes.get(row.verdict, UNKNOWN),
    ]


def _head(names: tuple[str, str]) -> list[str]:
    return [
        *("set", "method", "images a class", f"{names[0]} %", f"{names[1]} %", "points"),
        *("95 % over splits", "95 % for new images", "splits", f"{names[0]} is"),
    ]


def markdown(comparison: Comparison) -> str:
    """The comparison as Markdown text."""
    head = _head(comparison.names)
    rows = table(head, map(_cells_of, rows_of(comparison.table)), numeric=range(2, len(head) - 1))
    title = f"# {escape(comparison.names[0])} against {escape(comparison.names[1])}"
    return "\n\n".join([title, *map(escape, comparison.notes), rows]) + "\n"


def terminal_table(comparison: Comparison) -> "Table":
    """What fits a terminal of the comparison: the interval is the one that decides the outcome."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("set", "method"):
        shown.add_column(name, overflow="fold")
    for name in ("N", "first %", "other %", "points", "95 %", "splits"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("first is")
    for row in rows_of(comparison.table):
        cells = _cells_of(row)
        deciding = cells[7] if cells[7] != UNKNOWN else cells[6]
        splits = str(row.splits) if row.pairing == "paired" else f"{row.first_splits}, {row.other_splits}"
        shown.add_row(*console.texts([*cells[:6], deciding, splits, cells[9]]))
    return shown
