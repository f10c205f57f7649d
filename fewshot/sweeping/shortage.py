"""Which classes have as many images as a sweep asks for, in every split and for every set; and the error if not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from curate.collection.splits import Split
from curate.foundation.errors import FewposeError, UsageError
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials import additions


class DrawSource(Protocol):
    """What is needed here of a plan (fewshot.sweeping.plan.Plan): its classes, and what a split gives to a set."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    def split(self, number: int) -> Split: ...
    def pool(self, parts: Split, set_: str) -> pd.DataFrame: ...
    def eligible(self, parts: Split, trial: Trial) -> pd.DataFrame: ...


@dataclass(frozen=True)
class _Demand:
    """So many images a class that a set must have in every split, beside `shots` photographs that it draws."""

    set: str
    needed: int
    shots: int
    what: str  # "training", or the kind of synthetic images

    def count(self, plan: DrawSource, parts: Split) -> pd.Series:
        """How many a split has, by label."""
        if self.what == "training":
            return plan.pool(parts, self.set)["label"].value_counts()
        return plan.eligible(parts, Trial(self.set, "", self.shots, parts.number))["label"].value_counts()


def _demands(settings: SweepSettings) -> Iterator[_Demand]:
    for name in settings.grid.sets:
        made_of = additions.composition(name)
        if not made_of.alone:
            yield _Demand(name, max(settings.grid.shots) + made_of.more_real, 0, "training")
        if made_of.synthetic:  # with the fewest photographs, of which the fewest synthetic images were made
            shots = 0 if made_of.alone else min(settings.grid.shots)
            yield _Demand(name, made_of.amount, shots, made_of.kind)


def long_enough(settings: SweepSettings, plan: DrawSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes to use and those left out, by `short`: judged over all sets and splits, so that every N agrees.

    Raises UsageError where a class is short and `short` is "error", FewposeError where fewer than two classes are left.
    """
    if not any(methods.trains(name) for name in settings.grid.methods):
        return plan.classes, ()
    least = {demand: dict.fromkeys(plan.classes, demand.needed) for demand in _demands(settings)}
    tested = dict.fromkeys(plan.classes, 1)
    for number in range(settings.grid.splits):
        parts = plan.split(number)
        tested = _fewest(tested, parts.test["label"].value_counts())
        least = {demand: _fewest(fewest, demand.count(plan, parts)) for demand, fewest in least.items()}
    # A class that has no training image, or is never tested, is of no use, whatever `short` says.
    first = {demand.set: fewest for demand, fewest in reversed(least.items())}  # photographs, where a set has any
    counts = [tested, *first.values()]
    empty = [label for label in plan.classes if not all(fewest[label] for fewest in counts)]
    if settings.data.short == "error":
        _check_enough(least, empty)
    short = {label for demand, fewest in least.items() for label in fewest if fewest[label] < demand.needed}
    left_out = sorted((short if settings.data.short == "drop" else set()) | set(empty))
    kept = tuple(label for label in plan.classes if label not in left_out)
    if len(kept) < 2:
        demand = max(least, key=lambda each: sum(fewest < each.needed for fewest in least[each].values()))
        raise FewposeError(
            f"fewer than two classes have {demand.needed} {demand.what} images in every split; lower --shots"
            + ("" if demand.what == "training" else " or the number of added images")
        )
    return kept, tuple(left_out)


def _fewest(before: dict[str, int], counts: pd.Series) -> dict[str, int]:
    return {label: min(fewest, counts.get(label, 0)) for label, fewest in before.items()}


def _check_enough(least: dict[_Demand, dict[str, int]], empty: list[str]) -> None:
    """Raises UsageError for the first demand that isn't met everywhere, then for what can't be tested."""
    for demand, fewest in least.items():
        if short := {label: count for label, count in fewest.items() if count < demand.needed}:
            raise UsageError(_too_short(demand, short))
    if empty:
        raise UsageError(_untested(empty))


def _too_short(demand: _Demand, short: dict[str, int]) -> str:
    worst = sorted(short, key=lambda label: short[label])
    named = ", ".join(f"{label} ({short[label]})" for label in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""
    by = f" by {demand.set}" if additions.composition(demand.set).kind else ""
    way_out = "lower --shots" if demand.what == "training" else _MORE_SYNTHETIC
    return (
        f"{demand.needed} {demand.what} images a class are asked for{by}, but a split leaves fewer to {named}{more}; "
        f"{way_out}, or say --short all (use what there is) or --short drop (leave those classes out)"
    )


_MORE_SYNTHETIC = (
    "make and accept more (of those made from photographs, a trial may use only those of the photographs it draws)"
)


def _untested(labels: list[str]) -> str:
    return (
        f"a class of one picture (or of its copies) can't be tested, as {', '.join(labels)}; "
        "add pictures, or say --short drop (leave such classes out)"
    )
