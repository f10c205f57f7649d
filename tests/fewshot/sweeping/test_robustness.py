"""What goes wrong around a sweep: memory, disks, damaged and older files, odd numbers of classes and images."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils import deterministic as filling

from curate.collection.directory import Collection
from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.sweeps import records
from curate.sweeps.records import Trial, read_predictions, read_sweep, trial_file
from fewshot.reporting import write_report
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.task import Fitted, Images
from fewshot.training.deterministic import deterministic

Build = Callable[..., SweepSettings]


def outcomes(out: Path) -> set[str]:
    return {record.cause or record.status for record in read_sweep(out).records}


# Memory


class Bulky:
    """Fits as many draws at once as memory has room for."""

    room = 4
    asked: list[int] = []  # noqa: RUF012 - the test empties it

    def fit(self, draw: Any, task: Any) -> Fitted:
        result: Fitted = self.fit_batch([draw], [task])[0]
        return result

    def batching_is_faster(self, device: str) -> bool:
        return True

    def fit_batch(self, draws: Any, tasks: Any) -> list[Any]:
        self.asked.append(len(draws))
        if len(draws) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [Fitted(constant(task.seed), pytest.fail) for task in tasks]


def constant(seed: int) -> Callable[[Images], np.ndarray]:
    return lambda images: np.full((len(images), 3), seed % 97, np.float32)


@pytest.mark.slow
def test_what_does_not_fit_in_memory_together_is_halved_until_it_does(
    settings: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fewshot.methods.build", lambda *arguments: Bulky())
    roomy, narrow = (settings(methods=("linear-probe",), shots=(2,), splits=15, out=tmp_path / n) for n in "ab")
    monkeypatch.setattr(Bulky, "room", 100)
    run_sweep(roomy)
    monkeypatch.setattr(Bulky, "room", 4)
    Bulky.asked = []
    summary = run_sweep(narrow)
    assert Bulky.asked == [13, 6, 3, 3, 7, 3, 4, 2]
    assert (summary.done, summary.failed) == (15, {})
    for trial in read_sweep(narrow.out).planned:
        npz = [trial_file(asked.out, trial, ".npz").read_bytes() for asked in (roomy, narrow)]
        assert npz[0] == npz[1]


def test_what_does_not_even_fit_alone_is_recorded_and_the_rest_goes_on(
    settings: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot.methods.build", lambda *arguments: Bulky())
    monkeypatch.setattr(Bulky, "room", 0)
    assert run_sweep(settings(methods=("linear-probe",), shots=(2,), splits=3)).failed == {"out of memory": 3}


@pytest.mark.slow
def test_nothing_of_what_ran_out_of_memory_is_held_while_the_halves_are_run(
    settings: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []

    class Balloon:
        count = 0

        def __init__(self) -> None:
            Balloon.count += 1

        def __del__(self) -> None:
            Balloon.count -= 1

    class Greedy(Bulky):
        def fit_batch(self, draws: Any, tasks: Any) -> list[Any]:
            alive.append(Balloon.count)
            balloon = Balloon()  # noqa: F841 - a local of the frame that the error's traceback holds
            return super().fit_batch(draws, tasks)

    monkeypatch.setattr("fewshot.methods.build", lambda *arguments: Greedy())
    run_sweep(settings(methods=("linear-probe",), shots=(2,), splits=6))
    assert alive == [0, 0, 0]


# Disks

# A disk that is full when this file is to be written: a limit on the size of files does what a full disk does.
FULL = """
import resource, sys
from curate.foundation import atomic
from fewshot.cli import app
refused, original = sys.argv.pop(1), atomic.write_bytes
def write(path, content):
    if path.name == refused:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
    original(path, content)
atomic.write_bytes = write
app()
"""


@pytest.mark.slow
@pytest.mark.parametrize("refused", ["s002.npz", "s002.json"])  # the predictions, and the record after them
def test_a_full_disk_stops_the_sweep_with_a_sentence_and_it_goes_on_later(refused: str, settings: Build) -> None:
    asked = settings(methods=("nearest-class-mean",), splits=4, shots=(2,))
    flags = f"--model tiny/random --device cpu --methods nearest-class-mean --splits 4 --shots 2 --out {asked.out}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, refused, "sweep", str(asked.collection), *flags.split()],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"error: {asked.out} can't be written to (File too large); what is done is kept: make room")
    assert "Traceback" not in done.stderr
    assert not list(asked.out.rglob(".writing-*"))
    found = read_sweep(asked.out)
    assert [record.trial.split for record in found.records] == [0, 1]
    assert run_sweep(asked).found == 2
    assert outcomes(asked.out) == {"done"}
    assert len(read_sweep(asked.out).records) == 4


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a directory that nobody may write to")  # noqa: PTH112
def test_a_directory_that_cannot_be_written_to_is_named(settings: Build) -> None:
    with pytest.raises(FewposeError, match=r"^/sys/kernel/sweep can't be written to \(.*\); choose another --out$"):
        run_sweep(settings(out=Path("/sys/kernel/sweep")))


def test_a_directory_that_can_no_longer_be_written_to_is_named(settings: Build) -> None:
    asked = settings(methods=("zero-shot",), splits=1)
    asked.out.mkdir()
    (asked.out / "trials").write_text("in the way")
    with pytest.raises(FewposeError, match=r"sweep can't be written to \(.*\); what is done is kept"):
        run_sweep(asked)


def test_images_that_are_gone_are_named(settings: Build, own_collection: Collection) -> None:
    own_collection.path("images/rings/3.png").unlink()
    with pytest.raises(FewposeError, match=r"^rings/3.png: .*rings/3.png can't be read \(.*\); put the old file back"):
        run_sweep(settings(collection=own_collection.root, methods=("zero-shot",), splits=1))


@pytest.mark.slow
def test_images_that_are_gone_are_not_missed_where_their_pixels_are_cached(
    settings: Build, own_collection: Collection, tmp_path: Path
) -> None:
    asked = {"collection": own_collection.root, "methods": ("nearest-class-mean",), "splits": 1}
    run_sweep(settings(**asked))
    own_collection.path("images/rings/3.png").unlink()
    assert run_sweep(settings(**asked, out=tmp_path / "again")).done == 2


# Older versions


def make_old(out: Path, trial: Trial) -> None:
    """As format 1 had it: no keys of the training images."""
    npz, json_ = (trial_file(out, trial, suffix) for suffix in (".npz", ".json"))
    with np.load(npz) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "train"}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    npz.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    fields = json_files.read(json_) | {"format": 1, "predictions_sha256": digest}
    json_.write_text(json.dumps(fields))


def accuracies(out: Path) -> dict[tuple[str, int], float]:
    table = pd.read_csv(write_report(out).csv["results"])
    rows: list[Any] = list(table.itertuples())
    return {(row.method, row.shots): row.mean for row in rows}


@pytest.mark.slow
def test_a_sweep_of_an_older_version_goes_on(settings: Build) -> None:
    asked = settings(splits=2)
    run_sweep(asked)
    before = accuracies(asked.out)
    for trial in read_sweep(asked.out).planned:
        make_old(asked.out, trial)
    described = asked.out / "sweep.json"
    described.write_text(json.dumps(json_files.read(described) | {"format": 1}))
    assert accuracies(asked.out) == before
    old = read_predictions(asked.out, read_sweep(asked.out).planned[1])
    assert old.train.shape == (0,)

    wider = settings(splits=3)
    summary = run_sweep(wider)
    assert (summary.found, summary.done) == (6, 9)
    assert read_sweep(asked.out).settings["format"] == records.FORMAT
    newest = max(read_sweep(asked.out).planned, key=lambda trial: (trial.split, trial.shots))
    assert len(read_predictions(asked.out, newest).train) == 15
    assert accuracies(asked.out).keys() == before.keys()


# Odd collections

METHODS = ("zero-shot", "nearest-class-mean", "linear-probe", "tip-adapter", "finetune")


@pytest.mark.slow
def test_one_image_a_class(settings: Build) -> None:
    summary = run_sweep(settings(methods=METHODS, shots=(1,), splits=2, recipes={"finetune": {"epochs": 1}}))
    assert (summary.done, summary.failed) == (10, {})


def test_a_class_with_one_image_is_left_out_or_named(
    settings: Build, make_collection: Callable[..., Collection], tmp_path: Path
) -> None:
    root = make_collection(tmp_path / "c", {"bars": 6, "rings": 6, "waves": 1}).root
    asked = {"collection": root, "methods": METHODS[:4], "shots": (2,), "splits": 1}
    with pytest.raises(FewposeError, match="waves"):
        run_sweep(settings(**asked))
    summary = run_sweep(settings(**asked, short="drop"))
    assert (summary.done, summary.failed, summary.dropped_classes) == (4, {}, ("waves",))


@pytest.mark.slow
def test_two_classes(settings: Build) -> None:
    asked = settings(classes=("bars", "waves"), methods=METHODS, shots=(3,), recipes={"finetune": {"epochs": 1}})
    summary = run_sweep(asked)
    assert (summary.done, summary.failed) == (10, {})
    assert read_predictions(asked.out, read_sweep(asked.out).planned[0]).logits.shape[1] == 2


@pytest.mark.slow
def test_five_hundred_classes(settings: Build, make_collection: Callable[..., Collection], tmp_path: Path) -> None:
    root = make_collection(tmp_path / "c", {f"kind {number:03}": 3 for number in range(500)}).root
    asked = settings(collection=root, methods=METHODS[:4], shots=(2,), splits=1)
    summary = run_sweep(asked)
    assert (summary.done, summary.failed) == (4, {})
    for trial in read_sweep(asked.out).planned:
        assert read_predictions(asked.out, trial).logits.shape == (500, 500)


# The same bits each time


def flags() -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        filling.fill_uninitialized_memory,  # type: ignore[attr-defined]  # torch sets it on the module's class
        cudnn.deterministic,
        cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.slow
def test_torch_is_told_to_be_deterministic_while_a_sweep_that_asks_for_it_runs(
    settings: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    class Watching(Bulky):
        def fit_batch(self, draws: Any, tasks: Any) -> list[Any]:
            seen.append(flags())
            return super().fit_batch(draws, tasks)

    monkeypatch.setattr("fewshot.methods.build", lambda *arguments: Watching())
    before = flags()
    for asked in (False, True):
        run_sweep(settings(methods=("linear-probe",), shots=(2 + asked,), splits=1, deterministic=asked))
        assert flags() == before
    assert seen == [before, (True, False, False, True, False, ":4096:8")]


def test_an_operation_that_cannot_be_deterministic_is_named() -> None:
    before = flags()
    told = "--deterministic: torch has no deterministic put_ on this device"
    with pytest.raises(FewposeError, match=told), deterministic(True):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    assert flags() == before
