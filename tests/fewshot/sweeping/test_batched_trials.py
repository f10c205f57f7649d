"""Batches of trials: what is fitted together, how it is halved, and in which order workers take it."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from curate.sweeps.records import Trial
from fewshot.sweeping import plan as planning
from fewshot.sweeping.batched_trials import SPLITS_PER_BATCH, TrialBatch, in_work_order, trial_batches
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings
from fewshot.task import Fitted

Build = Callable[..., SweepSettings]


class InBulk:
    """A method that fits several draws at once, faster on the CPU alone."""

    def batching_is_faster(self, device: str) -> bool:
        return device == "cpu"

    def fit(self, draw: Any, task: Any) -> Fitted:
        raise AssertionError("nothing is fitted here")

    def fit_batch(self, draws: Any, tasks: Any) -> list[Fitted | Exception]:
        raise AssertionError("nothing is fitted here")


@pytest.fixture
def plan(settings: Build, monkeypatch: pytest.MonkeyPatch) -> Plan:
    made = planning.make(settings(methods=("zero-shot", "linear-probe", "finetune", "finetune@0.5"), splits=20))
    kinds = {"linear-probe": InBulk()}
    monkeypatch.setattr("fewshot.methods.build", lambda name, own: kinds.get(name, SimpleNamespace(fit=None)))
    return made


def batch(method: str, shots: int, *splits: int) -> TrialBatch:
    trials = tuple(Trial("unfiltered", method, shots, number) for number in splits)
    return TrialBatch(trials, trials)


def test_every_trial_is_in_one_batch_and_a_batch_is_one_cell(plan: Plan) -> None:
    made = trial_batches(plan, plan.trials)
    assert sorted(trial for each in made for trial in each.trials) == sorted(plan.trials)
    for each in made:
        assert len({(trial.set, trial.shots, trial.method.partition("@")[0]) for trial in each.trials}) == 1
        assert each.missing == each.trials
    bulk = [each for each in made if each.trials[0].method == "linear-probe"]
    assert {each.splits for each in bulk} == {tuple(range(SPLITS_PER_BATCH)), tuple(range(SPLITS_PER_BATCH, 20))}
    averaged = [each for each in made if each.trials[0].method == "finetune"]
    assert {tuple(trial.method for trial in each.trials) for each in averaged} == {("finetune", "finetune@0.5")}
    assert all(len(each.splits) == 1 for each in averaged)


def test_where_a_batch_is_no_faster_trials_are_run_one_by_one(plan: Plan) -> None:
    assert all(len(each.splits) == 1 for each in trial_batches(plan, plan.trials, "cuda"))


def test_a_batch_stays_as_it_was_when_some_of_it_is_there_already(plan: Plan) -> None:
    missing = [trial for trial in plan.trials if trial.method == "linear-probe" and trial.shots == 2][3:5]
    (found,) = trial_batches(plan, missing)
    assert found.missing == tuple(missing)
    assert found.splits == tuple(range(SPLITS_PER_BATCH))


def test_halves_share_out_the_splits_that_something_is_missing_of() -> None:
    whole = batch("linear-probe", 2, 0, 1, 2, 3, 4)
    assert whole.halves() == [batch("linear-probe", 2, 0, 1), batch("linear-probe", 2, 2, 3, 4)]
    assert replace(whole, missing=whole.trials[3:]).halves() == [
        replace(batch("linear-probe", 2, 2, 3, 4), missing=whole.trials[3:])
    ]
    alone = batch("finetune", 2, 7)
    assert alone.halves() == [alone]


def test_workers_take_the_most_expensive_first_of_one_block_of_splits_after_the_other() -> None:
    given = [
        batch("zero-shot", 0, 0),
        batch("linear-probe", 20, *range(SPLITS_PER_BATCH)),
        batch("linear-probe", 43, *range(SPLITS_PER_BATCH)),
        batch("finetune", 6, 0),
        batch("finetune-last2", 6, 0),
        batch("finetune", 6, 1),
        batch("lora", 43, SPLITS_PER_BATCH),
        batch("zero-shot", 0, SPLITS_PER_BATCH),
    ]
    order = [(each.trials[0].method, each.trials[0].shots, each.splits[0]) for each in in_work_order(given)]
    assert order == [
        ("finetune", 6, 0),
        ("finetune", 6, 1),
        ("linear-probe", 43, 0),
        ("linear-probe", 20, 0),
        ("finetune-last2", 6, 0),
        ("zero-shot", 0, 0),
        ("lora", 43, SPLITS_PER_BATCH),
        ("zero-shot", 0, SPLITS_PER_BATCH),
    ]
