"""A sweep goes on where it stopped, grows where it may, and survives its trials and its workers."""

import copy
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.locks import only_one
from curate.models import clip_models
from curate.sweeps import records
from curate.sweeps.records import Record, Trial, read_predictions, read_sweep
from fewshot.methods.finetune import Finetune
from fewshot.methods.linear_probe import LinearProbe
from fewshot.reporting import write_report
from fewshot.sweeping import engines
from fewshot.sweeping import plan as planning
from fewshot.sweeping.batched_trials import TrialBatch
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.trial import Runner
from fewshot.task import Draw, Fitted, Task

Build = Callable[..., SweepSettings]
TABLES = ("results.csv", "differences.csv", "wrong.csv")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tiny: clip_models.ClipModel) -> None:
    """What takes long and has tests of its own: loading a model."""
    load = clip_models.load
    loaded = {"tiny/random": tiny}
    monkeypatch.setattr(clip_models, "load", lambda name, **options: loaded.get(name) or load(name, **options))


def tables(sweep: Path) -> dict[str, bytes]:
    write_report(sweep)
    return {name: (sweep / name).read_bytes() for name in TABLES}


def files(sweep: Path) -> dict[Path, int]:
    """Every file of every trial, with the moment of its last change."""
    return {path: path.stat().st_mtime_ns for path in sorted((sweep / "trials").rglob("*.*"))}


def alone(trial: Trial) -> TrialBatch:
    return TrialBatch((trial,), (trial,))


def outcomes_of(out: Path, trials: tuple[Trial, ...]) -> list[str]:
    found = [records.read(out, trial) for trial in trials]
    return [record.cause or record.status for record in found if record]


# Going on


@pytest.mark.slow
def test_a_sweep_measures_its_whole_grid(settings: Build) -> None:
    asked = settings(sets=("unfiltered", "filtered"))
    summary = run_sweep(asked)
    assert (summary.found, summary.done, summary.failed, summary.dropped_classes) == (0, 12, {}, ())
    read = read_sweep(asked.out)
    assert {record.trial for record in read.records} == set(read.planned)
    table = pd.read_csv(io.BytesIO(tables(asked.out)["results.csv"]))
    assert set(table["n"]) == {2}
    probe = table[(table["method"] == "linear-probe") & (table["shots"] == 5)]
    assert (probe["mean"] > 0.6).all()


@pytest.mark.slow
def test_only_what_is_missing_or_damaged_is_run_again(settings: Build) -> None:
    asked = settings()
    run_sweep(asked)
    expected, before = tables(asked.out), files(asked.out)
    trials = read_sweep(asked.out).planned
    records.trial_file(asked.out, trials[0], ".json").unlink()
    records.trial_file(asked.out, trials[2], ".npz").unlink()
    half = records.trial_file(asked.out, trials[4], ".json")
    half.write_bytes(half.read_bytes()[:-20])
    again = {records.trial_file(asked.out, trials[place], kind) for place in (0, 2, 4) for kind in (".json", ".npz")}

    summary = run_sweep(asked)
    assert (summary.found, summary.done) == (3, 6)
    after = files(asked.out)
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == again
    assert tables(asked.out) == expected


@pytest.mark.slow
def test_a_finished_sweep_is_not_touched_again(settings: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings()
    run_sweep(asked)
    before = files(asked.out)
    monkeypatch.setattr(engines, "Runner", None)  # nothing is loaded or embedded for it either
    assert run_sweep(asked).found == 6
    assert files(asked.out) == before


def test_a_damaged_description_of_a_sweep_is_made_again_as_is_said(settings: Build) -> None:
    asked = settings(methods=("zero-shot",))
    run_sweep(asked)
    before, described = files(asked.out), asked.out / "sweep.json"
    described.write_bytes(described.read_bytes().replace(b"bars", b"cars", 1))
    with pytest.raises(FewposeError, match=r"sweep\.json is damaged .*; delete it and give the fewshot sweep command"):
        run_sweep(asked)
    described.unlink()
    assert run_sweep(asked).found == 2
    assert files(asked.out) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": "lite0/random"}, "model"),
        ({"seed": 1}, "split"),
        ({"class_weights": "balanced"}, "settings"),
        ({"collection": "other"}, "content of its training set"),
    ],
)
def test_what_is_left_of_another_sweep_is_not_taken_for_this_one(
    settings: Build, changes: dict[str, Any], what: str, own_collection: Collection
) -> None:
    asked = settings(methods=("linear-probe",), shots=(2,))
    run_sweep(asked)
    (asked.out / "sweep.json").unlink()
    if "collection" in changes:
        images = own_collection.images()
        own_collection.write(images[images["key"] != "bars/9.png"], own_collection.rejects())
        changes = {"collection": own_collection.root}
    with pytest.raises(UsageError, match=f"holds a trial with another {what}"):
        run_sweep(asked.replaced(**changes))
    assert run_sweep(asked).found == 2


def test_what_a_killed_process_was_writing_is_cleared_away(settings: Build) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    run_sweep(asked)
    expected = tables(asked.out)
    debris = [asked.out / ".writing-x.json", *(asked.out / "trials").glob("*/*/*")]
    debris = [debris[0], *(folder / ".writing-a1b2.npz" for folder in debris[1:])]
    theirs = asked.out / ".writing-y.csv"  # a report's, which may be at work
    for path in (*debris, theirs):
        path.write_bytes(b"half")
    run_sweep(asked)
    assert len(debris) == 2
    assert not any(path.exists() for path in debris)
    assert theirs.exists()
    assert tables(asked.out) == expected


@pytest.mark.slow
def test_the_same_sweep_elsewhere_gives_the_same_tables(settings: Build, tmp_path: Path) -> None:
    one, other = settings(out=tmp_path / "one"), settings(out=tmp_path / "other")
    run_sweep(one)
    run_sweep(other)
    assert tables(one.out) == tables(other.out)


# Growing


@pytest.mark.slow
def test_more_splits_methods_shots_and_sets_are_added_to_what_is_there(settings: Build, tmp_path: Path) -> None:
    small = settings(methods=("linear-probe",), splits=1, shots=(2,))
    run_sweep(small)
    before = files(small.out)
    wide = settings(sets=("filtered", "unfiltered"))
    summary = run_sweep(wide)
    assert (summary.found, summary.done) == (1, 12)
    assert before.items() <= files(small.out).items()
    # A narrower call afterwards forgets nothing.
    assert run_sweep(small).found == 1
    assert len(read_sweep(small.out).records) == len(read_sweep(small.out).planned) == 12
    kept = read_sweep(small.out).settings
    assert kept["methods"] == ["linear-probe", "zero-shot"]
    assert (kept["shots"], kept["splits"], set(kept["sets"])) == ([2, 5], 2, {"filtered", "unfiltered"})

    at_once = settings(sets=("filtered", "unfiltered"), methods=("linear-probe", "zero-shot"), out=tmp_path / "once")
    run_sweep(at_once)
    assert tables(small.out) == tables(at_once.out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "--seed"),
        ({"test_fraction": 0.3}, "--test-fraction"),
        ({"model": "lite0"}, "--model and another weights of the model"),
        ({"fit": "pad"}, "--fit"),
        ({"short": "all"}, "--short"),
        ({"prompts": ("a {}",)}, "--prompt"),
        ({"descriptions": {"bars": ("standing up",)}}, "wording of the classes"),
        ({"classes": ("bars", "waves")}, "choice of classes"),
    ],
)
def test_a_changed_setting_is_refused_by_name(settings: Build, changes: dict[str, Any], named: str) -> None:
    started = settings(methods=("zero-shot", "finetune"), splits=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "run", lambda *arguments: None)  # no trial is needed
        run_sweep(started)
    before = (started.out / "sweep.json").read_bytes()
    with pytest.raises(UsageError, match=rf"holds a sweep with another {named}.*; choose another --out$"):
        run_sweep(started.replaced(**changes))
    assert (started.out / "sweep.json").read_bytes() == before


def test_a_collection_with_other_content_is_refused(own_collection: Collection, settings: Build) -> None:
    asked = settings(collection=own_collection.root, methods=("zero-shot",), splits=1)
    run_sweep(asked)
    own_collection.write(own_collection.images().iloc[1:], own_collection.rejects())
    with pytest.raises(UsageError, match="holds a sweep with another content of the collection"):
        run_sweep(asked)


def test_weights_that_differ_in_the_text_tower_alone_make_another_sweep(
    settings: Build, monkeypatch: pytest.MonkeyPatch, tiny: clip_models.ClipModel
) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    run_sweep(asked)
    other = copy.deepcopy(tiny)
    with torch.no_grad():
        other.model.text_projection.add_(1)
    monkeypatch.setattr(clip_models, "load", lambda *arguments, **more: other)
    with pytest.raises(UsageError, match="another weights of the model"):
        run_sweep(asked)


def test_a_collection_that_was_moved_is_the_same(settings: Build, collection: Collection, tmp_path: Path) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    run_sweep(asked)
    shutil.copytree(collection.root, tmp_path / "moved")
    assert run_sweep(asked.replaced(collection=tmp_path / "moved")).found == 1


def test_a_second_process_in_the_same_directory_is_refused(settings: Build) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    with only_one(asked.out, "fewshot sweep"), pytest.raises(UsageError, match="another fewshot sweep is running in"):
        run_sweep(asked)
    assert run_sweep(asked).done == 1


def test_a_directory_that_holds_something_else_under_our_name_is_refused(settings: Build) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    asked.out.mkdir()
    (asked.out / "sweep.json").write_text('{"my": "notes"}')
    with pytest.raises(FewposeError, match="is not a sweep"):
        run_sweep(asked)
    assert (asked.out / "sweep.json").read_text() == '{"my": "notes"}'


# What the classes are called


@pytest.mark.slow
def test_descriptions_reach_every_worker_and_are_told(settings: Build, tmp_path: Path) -> None:
    own = {"bars": ("lifting with a bent back", "bending"), "waves": ("lying down",)}
    plain = settings(methods=("zero-shot", "finetune"), shots=(2,), recipes={"finetune": {"epochs": 1}})
    described = plain.replaced(descriptions=own, out=tmp_path / "described")
    shared = described.replaced(workers=2, out=tmp_path / "shared")
    assert [run_sweep(each).done for each in (plain, described, shared)] == [4, 4, 4]
    assert read_sweep(shared.out).settings["texts"] == [["lifting with a bent back", "bending"], "rings", "lying down"]
    for trial in planning.make(plain).trials:
        theirs, own_words, by_worker = (read_predictions(each.out, trial).logits for each in (plain, described, shared))
        np.testing.assert_allclose(by_worker, own_words, atol=1e-3)
        assert np.abs(own_words - theirs).max() > 0.01
        if trial.method == "zero-shot":  # a class without a description keeps its words
            np.testing.assert_allclose(own_words[:, 1], theirs[:, 1], atol=1e-5)
    assert run_sweep(described).ran == 0
    with pytest.raises(UsageError, match="another wording of the classes"):
        run_sweep(described.replaced(descriptions={}))


# Failing


def memory_runs_out(kind: type[Exception], message: str, split_shots: int = 5) -> Callable[..., Any]:
    original = LinearProbe.fit_batch

    def fit_batch(self: LinearProbe, draws: Any, tasks: Any) -> list[Fitted | Exception]:
        if len(draws[0].images) == 3 * split_shots:
            raise kind(message)
        return original(self, draws, tasks)

    return fit_batch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory"),
        (MemoryError, ""),
        (RuntimeError, "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_a_trial_that_runs_out_of_memory_is_a_record_and_the_rest_goes_on(
    settings: Build, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], message: str
) -> None:
    asked = settings()
    with monkeypatch.context() as patch:
        patch.setattr(LinearProbe, "fit_batch", memory_runs_out(kind, message))
        summary = run_sweep(asked)
    assert summary.failed == {"out of memory": 2}
    assert summary.done == 4
    failed = [record for record in read_sweep(asked.out).records if record.status == "failed"]
    assert {record.trial.shots for record in failed} == {5}
    assert {record.detail for record in failed} == {"a smaller --batch-size may do"}
    # The same command leaves it at that; --retry-failed runs those, and those alone, again.
    before = files(asked.out)
    assert run_sweep(asked).failed == {"out of memory": 2}
    assert files(asked.out) == before
    summary = run_sweep(asked, retry_failed=True)
    assert (summary.found, summary.done, summary.failed) == (4, 6, {})
    kept = {path: time for path, time in before.items() if "linear-probe/n05" not in str(path)}
    assert kept.items() <= files(asked.out).items()


def test_a_fault_of_ours_is_not_taken_for_a_failed_trial(settings: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinearProbe, "fit_batch", memory_runs_out(RuntimeError, "shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        run_sweep(settings())


@pytest.mark.slow
def test_a_trial_that_diverges_is_a_record_with_its_cause(settings: Build) -> None:
    asked = settings(methods=("zero-shot", "finetune"), recipes={"finetune": {"lr": 1e4, "epochs": 2}}, shots=(2,))
    summary = run_sweep(asked)
    assert summary.failed == {"diverged": 2}
    assert summary.done == 2
    failed = [record for record in read_sweep(asked.out).records if record.status == "failed"]
    assert all("a smaller --lr than 10000 may do" in record.detail for record in failed)
    assert b"diverged" in (write_report(asked.out).markdown).read_bytes()


def test_scores_that_are_not_numbers_are_no_result(settings: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    nonsense = Fitted(lambda images: np.full((len(images), 3), np.nan, np.float32), pytest.fail)
    monkeypatch.setattr(LinearProbe, "fit_batch", lambda self, draws, tasks: [nonsense] * len(draws))
    summary = run_sweep(settings(splits=1, shots=(2,)))
    assert summary.failed == {"diverged": 1}
    assert summary.done == 1


def test_features_that_are_not_numbers_are_no_result(settings: Build, tiny: clip_models.ClipModel) -> None:
    asked = settings(splits=1, shots=(2,), methods=("linear-probe",))
    plan = planning.make(asked)
    runner = Runner(plan, tiny)
    for vector in runner.store.features.values():
        vector[:] = np.nan
    runner.run(alone(plan.trials[0]))
    assert outcomes_of(asked.out, plan.trials) == ["singular"]


# What a method gets to see


def reachable(start: object) -> Iterator[object]:
    """All that can be reached from an object by attributes, items and closures, within Python's own objects."""
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, str, bytes, int, float, torch.nn.Module, SimpleNamespace)):
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += each
        elif callable(each):
            waiting += [cell.cell_contents for cell in getattr(each, "__closure__", None) or ()]
        else:
            waiting += vars(each).values() if hasattr(each, "__dict__") else ()


class Nosy:
    """Keeps what it is given."""

    seen: list[Any] = []  # noqa: RUF012 - the test empties it

    def fit(self, draw: Any, task: Any) -> Fitted:
        self.seen += [draw, task]
        return Fitted(self.logits, pytest.fail)

    def logits(self, images: Any) -> np.ndarray:
        self.seen.append(images)
        return np.zeros((len(images), 3), np.float32)


def test_a_method_is_given_no_label_of_a_test_image_and_no_other_image_than_its_own(
    settings: Build, monkeypatch: pytest.MonkeyPatch, tiny: clip_models.ClipModel
) -> None:
    asked = settings(methods=("linear-probe",), shots=(2,), splits=1)
    plan = planning.make(asked)
    monkeypatch.setattr("fewshot.methods.build", lambda *arguments: Nosy())
    Nosy.seen = []
    Runner(plan, tiny).run(alone(plan.trials[0]))
    draw, task, tested = Nosy.seen
    parts = plan.split(0)
    assert tested.ids == tuple(parts.test["id"])
    assert not set(draw.images.ids) & set(tested.ids)
    assert draw.images.store.features.keys() == set(draw.images.ids)
    with pytest.raises(KeyError, match="not handed over"):
        draw.images.store.pixels(tested.ids)
    # By attributes alone, the way a person would write them:
    for given in (draw, task, tested):
        for each in reachable(dataclasses.asdict(given) if given is not task else vars(task)):
            assert not isinstance(each, (pd.DataFrame, pd.Series, planning.Plan))
    # And of arrays, none but the draw's own has as many labels as there are images of either kind.
    arrays = [each for each in reachable(tested) if isinstance(each, np.ndarray) and each.dtype.kind in "iuUO"]
    assert arrays == [] or all(each.dtype == np.uint8 for each in arrays)


@pytest.mark.slow
def test_permuted_test_labels_change_no_score(settings: Build, tmp_path: Path, tiny: clip_models.ClipModel) -> None:
    asked = settings(
        methods=("zero-shot", "linear-probe", "finetune"), recipes={"finetune": {"epochs": 1}}, shots=(3,), splits=1
    )
    plan = planning.make(asked)
    liar = dataclasses.replace(plan, settings=asked.replaced(out=tmp_path / "liar"))
    runner, lying = Runner(plan, tiny), Runner(liar, tiny)
    true = plan.split(0)
    lies = true.test.assign(label=np.roll(true.test["label"].to_numpy(), 1))
    lying._split = lru_cache(lambda number: dataclasses.replace(true, test=lies))
    for trial in plan.trials:
        runner.run(alone(trial))
        lying.run(alone(trial))
        honest, permuted = read_predictions(asked.out, trial), read_predictions(liar.settings.out, trial)
        assert (honest.labels != permuted.labels).any()
        np.testing.assert_array_equal(honest.logits, permuted.logits)


@pytest.mark.slow
def test_records_tell_what_was_done(settings: Build) -> None:
    asked = settings(methods=("linear-probe", "finetune"), recipes={"finetune": {"epochs": 1}}, shots=(3,), splits=1)
    run_sweep(asked)
    plan = planning.make(asked)
    parts = plan.split(0)
    for record in read_sweep(asked.out).records:
        assert record.model == "tiny/random"
        assert (record.train_images, record.test_images) == (9, len(parts.test))
        assert record.digests["split"] == parts.digest
        assert {"set", "split", "draw", "image_weights"} == record.digests.keys()
        assert {"python", "torch", "open_clip_torch", "fewpose"} <= record.versions.keys()
        assert record.seconds["fit"] > 0
        predictions = read_predictions(asked.out, record.trial)
        assert predictions.keys.tolist() == parts.test["key"].tolist()
        assert [plan.classes[label] for label in predictions.labels] == parts.test["label"].tolist()
        expected = {"C", "power", "temperature"} if record.trial.method == "linear-probe" else set()
        assert record.chosen.keys() == expected
    assert {"lr", "epochs"} <= next(
        record.settings.keys() for record in read_sweep(asked.out).records if record.trial.method == "finetune"
    )


def test_each_trial_has_a_seed_of_its_own(settings: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def fit(self: Finetune, draw: Draw, task: Task) -> Fitted:
        seeds.append(task.seed)
        return Nosy().fit(draw, task)

    monkeypatch.setattr(Finetune, "fit", fit)
    run_sweep(settings(methods=("finetune",)))
    assert len(set(seeds)) == 4


# Several processes (that two give the same tables as one is shown in test_killed.py)


# Workers that start in a moment, and die where a file says so.
TRAP = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
from curate.sweeps import records
from curate.sweeps.records import Record

@dataclass
class Trap:
    out: Path

    def __call__(self, place):
        (self.out / f"place {place.number} {place.device} {place.threads}").touch()
        return self.run

    def run(self, batch):
        for trial in batch.missing:
            self.run_one(trial)

    def run_one(self, trial):
        once, always, fault = (self.out / f"{kind}-{trial.split}" for kind in ("once", "always", "fault"))
        if once.exists() or always.exists():
            once.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.exists():
            raise KeyError("a fault of ours")
        with (self.out / "log").open("a") as log:
            log.write(f"{trial.split}\\n")
        records.write(self.out, Record(trial, "failed", "m", cause="as it should"), None)
"""


@pytest.fixture
def trapped(settings: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plan of ten trials for two such workers, the trials, and what hands them out."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "trap.py").write_text(TRAP)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    import trap  # type: ignore[import-not-found]

    asked = settings(workers=2)
    asked.out.mkdir()
    trials = [Trial("unfiltered", "linear-probe", 6, number) for number in range(10)]
    plan: Any = SimpleNamespace(settings=asked)
    return plan, trials, lambda *arguments: engines.hand_out(plan, trap.Trap(asked.out), *arguments)


@pytest.mark.slow
def test_workers_that_are_killed_take_none_but_the_guilty_trials_along(trapped: Any) -> None:
    plan, trials, hand_out = trapped
    for name in ("once-2", "always-5", "once-8"):
        (plan.settings.out / name).touch()
    # Left from an earlier run, whose failed trials are to be run again:
    records.write(plan.settings.out, Record(trials[9], "failed", "m", cause="long ago"), None)
    advanced: list[int] = []
    hand_out(list(map(alone, trials)), advanced.append)
    found = outcomes_of(plan.settings.out, tuple(trials))
    assert found == ["as it should"] * 5 + ["killed"] + ["as it should"] * 4
    assert sum(advanced) == 10
    lost = records.read(plan.settings.out, trials[5])
    assert lost is not None
    assert "fewer --workers may do" in lost.detail
    resolved = plan.settings.resolved("linear-probe")
    assert (lost.recipe, lost.method_version) == (resolved.recipe, resolved.version)
    assert lost.settings == json.loads(json.dumps(resolved.settings))


@pytest.mark.slow
def test_a_batch_that_kills_its_worker_is_halved(trapped: Any) -> None:
    plan, trials, hand_out = trapped
    (plan.settings.out / "always-5").touch()
    advanced: list[int] = []
    hand_out([TrialBatch(tuple(trials), tuple(trials[1:]))], advanced.append)
    assert outcomes_of(plan.settings.out, tuple(trials)) == ["as it should"] * 4 + ["killed"] + ["as it should"] * 4
    assert sum(advanced) == 9
    # One process, but as one of two: with other threads, trials that are left over would end in other bits.
    each = max(1, (os.cpu_count() or 1) // 2)
    assert {path.name for path in plan.settings.out.glob("place *")} == {f"place 0 cpu {each}"}


@pytest.mark.slow
def test_a_fault_of_ours_in_a_worker_ends_the_sweep_with_its_name(trapped: Any) -> None:
    plan, trials, hand_out = trapped
    (plan.settings.out / "fault-1").touch()
    with pytest.raises(KeyError, match="a fault of ours"):
        hand_out(list(map(alone, trials)), lambda steps: None)


@pytest.mark.slow
def test_every_trial_is_run_once_in_order_of_the_grid(trapped: Any) -> None:
    plan, trials, hand_out = trapped
    hand_out(list(map(alone, trials)), lambda steps: None)
    order = [int(line) for line in (plan.settings.out / "log").read_text().split()]
    assert sorted(order) == list(range(10))
    # However slow one process is: of the trials before the latest that was run, no more than its one is not run yet.
    assert all(max(order[:run]) + 1 - run < 2 for run in range(1, len(order) + 1))


def test_the_summary_tells_the_pace(settings: Build) -> None:
    first = run_sweep(settings(methods=("zero-shot",)))
    assert first.ran == 2
    assert 0 < first.seconds < 60
    assert first.pace.startswith("2 trials in 0:00:")
    assert run_sweep(settings(methods=("zero-shot",))).pace == ""
    assert dataclasses.replace(first, ran=1200, seconds=3700.0).pace == "1,200 trials in 1:01:40, 1,168 an hour"


def test_an_image_that_has_changed_since_its_import_is_named(settings: Build, own_collection: Collection) -> None:
    asked = settings(collection=own_collection.root, methods=("zero-shot",), splits=1)
    own_collection.path("images/rings/3.png").write_bytes(b"other")
    with pytest.raises(FewposeError, match=r"^rings/3.png: .*rings/3.png can't be read \(changed since import"):
        run_sweep(asked)
