"""Trials that are done together: one model, one method, one number of shots, several splits, in a fixed arrangement.

What a method computes for several draws at once may differ in its last bits from what it computes for each alone. So
a pack is a matter of the plan, not of what is missing: when a sweep goes on, a pack that lacks a record is computed
whole, and the records that were there stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fewshot import methods
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings, options
from fewshot.task import Together
from fewshot.trials import additions
from fewshot.trials.records import Trial

SPLITS = 13  # at once: six packs are the 78 splits of arXiv 2501.07221, and one is lost at most when a sweep is killed


@dataclass(frozen=True)
class Pack:
    """`trials` differ in their splits, and in what is averaged after training; `missing` of them want a record."""

    trials: tuple[Trial, ...]
    missing: tuple[Trial, ...]

    @property
    def splits(self) -> tuple[int, ...]:
        return tuple(sorted({trial.split for trial in self.trials}))

    def halves(self) -> "list[Pack]":
        """Two packs of half the splits each, for where memory ran out; this one alone if it can't be shared out."""
        middle = len(self.splits) // 2
        first = set(self.splits[:middle])
        parts = [self._only(first), self._only(set(self.splits) - first)] if middle else [self]
        return [part for part in parts if part.missing]

    def _only(self, splits: set[int]) -> "Pack":
        return Pack(*(tuple(each for each in trials if each.split in splits) for trials in (self.trials, self.missing)))


# What a method's training costs an image, roughly: of finetune and lora both towers, or one of them, run both ways.
_COSTS = {"finetune": 100, "lora": 100, "finetune-last": 20, "proj": 5}


def packs(plan: Plan, missing: Iterable[Trial], device: str = "cpu") -> list[Pack]:
    """The packs that have missing trials, in the order of the plan's trials. device: the kind, "cpu" or "cuda"."""
    wanted = set(missing)
    together = {name: _fits_together(name, plan.settings, device) for name in plan.settings.methods}
    found: dict[tuple[object, ...], list[Trial]] = {}
    for trial in plan.trials:
        number = trial.split // SPLITS if together[trial.method] else trial.split
        training = methods.parse(trial.method).training
        found.setdefault((number, trial.set, training, trial.shots, together[trial.method]), []).append(trial)
    return list(_filled(found.values(), wanted))


def dealt(packs: Iterable[Pack]) -> list[Pack]:
    """The order in which several workers should take packs.

    One block of SPLITS splits after the other, so that a sweep that is stopped has compared everything on the blocks
    that it finished; within a block the dearest first, so that no worker begins a long pack when the others are done.
    """
    return sorted(packs, key=lambda pack: (pack.splits[0] // SPLITS, -_cost(pack)))


def _cost(pack: Pack) -> float:
    """Of training, in units of one image through a method that only looks at frozen features."""
    first = pack.trials[0]
    made_of = additions.composition(first.set)
    return _COSTS.get(methods.parse(first.method).base, 1) * len(pack.splits) * (first.shots + made_of.amount)


def _filled(arranged: Iterable[list[Trial]], wanted: set[Trial]) -> Iterator[Pack]:
    for trials in arranged:
        if missing := tuple(trial for trial in trials if trial in wanted):
            yield Pack(tuple(trials), missing)


def _fits_together(name: str, settings: SweepSettings, device: str) -> bool:
    method = methods.build(name, options(settings.method_settings(name))[0])
    return isinstance(method, Together) and method.pays(device)
