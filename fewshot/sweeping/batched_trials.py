"""Trials that are fitted together: one method, on one set, with one number of shots, on several splits.

What a method computes for several draws at once may differ in its last bits from what it computes for each alone. So
which trials are in a batch follows from the plan alone, and not from what is missing: when a sweep goes on, a batch of
which a record is missing is computed whole, and the records that were there stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings, options
from fewshot.task import BatchedMethod
from fewshot.trials import additions

# Six batches are the 78 splits of arXiv 2501.07221, and when a sweep is killed at most one batch a worker is lost.
SPLITS_PER_BATCH = 13


@dataclass(frozen=True)
class TrialBatch:
    """`trials` differ in their splits, and in what is averaged after training; `missing` have no record yet."""

    trials: tuple[Trial, ...]
    missing: tuple[Trial, ...]

    @property
    def splits(self) -> tuple[int, ...]:
        return tuple(sorted({trial.split for trial in self.trials}))

    def halves(self) -> "list[TrialBatch]":
        """Two batches of half the splits each, for where memory ran out; this one alone if it can't be divided."""
        middle = len(self.splits) // 2
        first = set(self.splits[:middle])
        parts = [self._only(first), self._only(set(self.splits) - first)] if middle else [self]
        return [part for part in parts if part.missing]

    def _only(self, splits: set[int]) -> "TrialBatch":
        return TrialBatch(
            *(tuple(each for each in trials if each.split in splits) for trials in (self.trials, self.missing))
        )


def trial_batches(plan: Plan, missing: Iterable[Trial], device: str = "cpu") -> list[TrialBatch]:
    """The batches that have missing trials, in the order of the plan's trials. device: the kind, "cpu" or "cuda"."""
    pending = set(missing)
    batched = {name: _is_batched(name, plan.settings, device) for name in plan.settings.grid.methods}
    found: dict[tuple[object, ...], list[Trial]] = {}
    for trial in plan.trials:
        number = trial.split // SPLITS_PER_BATCH if batched[trial.method] else trial.split
        training = methods.parse(trial.method).training
        found.setdefault((number, trial.set, training, trial.shots, batched[trial.method]), []).append(trial)
    return list(_with_missing(found.values(), pending))


def in_work_order(batches: Iterable[TrialBatch]) -> list[TrialBatch]:
    """The order in which several workers should take batches.

    One block of SPLITS_PER_BATCH splits after the other, so that a sweep that is stopped has compared everything on the
    blocks that it finished; within a block the most expensive first, so that no worker begins a long batch when the
    others are done.
    """
    return sorted(batches, key=lambda batch: (batch.splits[0] // SPLITS_PER_BATCH, -_cost(batch)))


def _cost(batch: TrialBatch) -> float:
    """Of training, in units of one image of a method that uses nothing but frozen features."""
    first = batch.trials[0]
    made_of = additions.composition(first.set)
    return methods.describe(first.method).cost * len(batch.splits) * (first.shots + made_of.amount)


def _with_missing(arranged: Iterable[list[Trial]], pending: set[Trial]) -> Iterator[TrialBatch]:
    for trials in arranged:
        if missing := tuple(trial for trial in trials if trial in pending):
            yield TrialBatch(tuple(trials), missing)


def _is_batched(name: str, settings: SweepSettings, device: str) -> bool:
    method = methods.build(name, options(settings.method_settings(name))[0])
    return isinstance(method, BatchedMethod) and method.batching_is_faster(device)
