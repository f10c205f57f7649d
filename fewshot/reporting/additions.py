"""What added images change, in sentences: against nothing added, and against as many photographs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fewshot.measuring.tables import rows_of
from fewshot.reporting.wording import counted, listing, points
from fewshot.trials.additions import REAL, composition


def sentences(differences: pd.DataFrame) -> list[str]:
    """One for each kind of images and what they are compared with, over all amounts, methods and shots."""
    rows = [row for row in rows_of(differences) if row.kind == "addition" and row.verdict]
    comparisons = dict.fromkeys(_comparison(row) for row in rows)
    return [_sentence([row for row in rows if _comparison(row) == each]) for each in comparisons]


def _comparison(row: Any) -> tuple[str, str, str, str]:
    """Rows that one sentence sums up: base and kind of both sets."""
    a, b = composition(row.a), composition(row.b)
    return a.base, a.kind, b.base, b.kind


def _sentence(rows: Sequence[Any]) -> str:
    a, b = composition(rows[0].a), composition(rows[0].b)
    amounts = listing(sorted({composition(row.a).amount for row in rows}), "or")
    low, high = points(min(row.mean for row in rows)), points(max(row.mean for row in rows))
    reach = f"{low} to {high}" if low != high else low
    images = f"{amounts} {'more real' if a.kind == REAL else a.kind} images a class"
    if a.alone:
        what, better = f"Training on {images} alone, instead of {b.base},", (a.kind, b.base)
    elif b.kind:
        what, better = f"Adding {images} to {a.base}, instead of as many photographs,", (a.kind, REAL)
    else:
        what, better = f"Adding {images} to {a.base}", (f"{a.base}+{a.kind}", a.base)
    return f"{what} changes accuracy by {reach} points ({counted(len(rows), 'comparison')}); {outcome(rows, *better)}."


def outcome(rows: Sequence[Any], a: str, b: str) -> str:
    """In how many of the paired differences a - b which of the two is better."""
    better, worse = (sum(row.verdict == side for row in rows) for side in ("higher", "lower"))
    open_ = len(rows) - better - worse
    if not better + worse:
        return "none is distinguishable from zero" if len(rows) > 1 else "this isn't distinguishable from zero"
    parts = [f"{name} is better in {number}" for name, number in ((a, better), (b, worse)) if number]
    return listing(parts + ([f"{open_} can't be told from zero"] if open_ else []))
