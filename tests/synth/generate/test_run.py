import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.workers.settings import WorkerSettings
from synth.generate import making, provenance, run
from synth.generate.image_job import ImageJob, Made
from synth.generate.run import Summary, foresee, generate
from synth.generate.settings import Resources, Settings, Wanted
from tests.synth.generate import deadly
from tests.synth.generate.a_collection import LABELS, PHOTOS, collection, files

MANNEQUIN = Settings("mannequin", width=64, height=64)
AUGMENT = Settings("augment", width=64, format="jpeg")
DRAW = "split=0,shots=2"
ONE = Resources(workers=WorkerSettings(workers=1))
TWO = Resources(workers=WorkerSettings(workers=2))
PROGRAM = ("-c", "from synth.cli import app; app()", "generate")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return collection(tmp_path)


def mannequins(root: Path, per_class: int = 3, resources: Resources = ONE) -> Summary:
    return generate(root, MANNEQUIN, Wanted(per_class=per_class), resources)


def synthetic(root: Path) -> pd.DataFrame:
    images = Collection.open(root).images()
    return images[images["source"] == "synthetic"].set_index("key")


def pictures(root: Path) -> list[Path]:
    return sorted((root / "images").rglob("synthetic-*.[pj][np]g"))


def command(root: Path, *arguments: str, per_class: int = 10) -> subprocess.Popen[str]:
    """`synth generate` as a user starts it, in a process group of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            *PROGRAM,
            root,
            "--model",
            "mannequin",
            "--size",
            "64",
            f"--per-class={per_class}",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def ends(found: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


# Tables


@pytest.mark.slow
def test_each_image_has_a_row_a_file_and_a_sidecar(root: Path) -> None:
    before = Collection.open(root).images()
    summary = mannequins(root)
    assert summary.made == {"plank": 3, "tree": 3}
    assert (summary.there, summary.refused, summary.in_the_way, summary.adopted.added) == ({}, {}, [], 6)
    rows = synthetic(root)
    assert sorted(rows["file"]) == [str(path.relative_to(root)) for path in pictures(root)]
    for key, row in rows.iterrows():
        path = root / row["file"]
        assert path == root / "images" / str(key)
        assert row["provenance"] == provenance.text(provenance.read(path))
        assert provenance.read(path)["key"] == key
        assert provenance.sidecar(path).exists()
        assert row["label"] == str(key).split("/")[0]
        assert (row["width"], row["height"], row["format"], row["bytes"]) == (64, 64, "PNG", path.stat().st_size)
    after = Collection.open(root).images()
    pd.testing.assert_frame_equal(after[after["source"] != "synthetic"].reset_index(drop=True), before)
    assert list(root.glob(".generating")) == []


def test_an_image_made_from_a_real_one_is_in_its_group(root: Path) -> None:
    summary = generate(root, AUGMENT, Wanted(per_class=4, from_draw=DRAW), ONE)
    assert summary.made == {"plank": 4, "tree": 4}
    images = Collection.open(root).images()
    group = dict(zip(images["id"], images["group"], strict=True))
    rows = synthetic(root)
    sources = [provenance.read(root / file)["made_from"] for file in rows["file"]]
    assert list(rows["group"]) == [group[source] for source in sources]
    assert len(set(sources)) == 4


@pytest.mark.slow
def test_only_what_is_missing_is_made(root: Path) -> None:
    mannequins(root, per_class=2)
    before = files(root)
    times = {path: path.stat().st_mtime_ns for path in pictures(root)}
    summary = mannequins(root, per_class=2)
    assert (summary.made, summary.there, summary.adopted.added) == ({}, {"plank": 2, "tree": 2}, 0)
    assert files(root) == before
    assert mannequins(root, per_class=3).made == {"plank": 1, "tree": 1}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert len(synthetic(root)) == 6


@pytest.mark.slow
def test_a_file_that_was_deleted_is_made_again_with_the_same_bytes(root: Path) -> None:
    mannequins(root)
    before = files(root)
    pictures(root)[2].unlink()
    assert sum(mannequins(root).made.values()) == 1
    assert files(root) == before


@pytest.mark.slow
def test_damaged_and_foreign_files_are_reported_and_stay(root: Path) -> None:
    collection = Collection.open(root)
    rejects = pd.DataFrame([{"key": "tree/x.jpg", "cause": "empty file", "detail": "0 bytes", "file": "/x.jpg"}])
    collection.write(collection.images(), rejects)
    first, second, *_ = (job.key for job in foresee(root, MANNEQUIN, Wanted(per_class=3)).jobs)
    (root / "images" / first).parent.mkdir(parents=True, exist_ok=True)
    (root / "images" / second).parent.mkdir(parents=True, exist_ok=True)
    (root / "images" / first).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    Image.new("RGB", (8, 8)).save(root / "images" / second)
    bytes_before = [(root / "images" / key).read_bytes() for key in (first, second)]
    summary = mannequins(root)
    assert {row["key"]: row["cause"] for row in summary.adopted.rejects} == {first: "truncated", second: "not ours"}
    assert [(root / "images" / key).read_bytes() for key in (first, second)] == bytes_before
    assert len(synthetic(root)) == 4
    kept = Collection.open(root).rejects()
    assert set(kept["key"]) == {"tree/x.jpg", first, second}
    again = files(root)
    mannequins(root)
    assert files(root) == again

    (root / "images" / first).unlink()
    (root / "images" / second).unlink()
    assert sum(mannequins(root).made.values()) == 2
    pd.testing.assert_frame_equal(Collection.open(root).rejects(), rejects.astype("str"))
    assert len(synthetic(root)) == 6


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    one, two = collection(tmp_path / "a"), collection(tmp_path / "b")
    mannequins(one, per_class=5)
    mannequins(two, per_class=5, resources=TWO)
    assert files(one) == files(two)


# Stopped at any moment


def begin_and_kill(root: Path, workers: str, moments: random.Random) -> None:
    there = len(pictures(root))
    process = command(root, "--workers", workers)
    enough = there + moments.randint(1, 5)
    ends(lambda: len(pictures(root)) >= enough or process.poll() is not None)
    time.sleep(moments.uniform(0.0, 0.1))
    process.kill()
    process.communicate()
    ends(lambda: group_is_empty(process.pid), 5.0)  # no worker outlives it


@pytest.mark.whole
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, killed = collection(tmp_path / "a"), collection(tmp_path / "b")
    mannequins(undisturbed, per_class=10)
    moments = random.Random(0)
    for workers in ("1", "2"):
        begin_and_kill(killed, workers, moments)
    assert 2 <= len(pictures(killed)) < 20
    assert len(synthetic(killed)) == 0
    mannequins(killed, per_class=10)
    assert files(killed) == files(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_it_soon_and_what_was_made_counts(root: Path, workers: str) -> None:
    process = command(root, "--workers", workers, per_class=2000)
    ends(lambda: len(pictures(root)) >= 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=200.0)  # all 2,000 of each take many minutes
    assert process.returncode == 130
    assert "the same command goes on from here" in told
    assert "Traceback" not in told
    ends(lambda: group_is_empty(process.pid), 20.0)
    assert sorted(synthetic(root)["file"]) == [str(path.relative_to(root)) for path in pictures(root)]
    assert not (root / ".generating").exists()


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_what_was_made_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = threading.Semaphore(7)
    real_write = os.write

    def full(descriptor: int, content: memoryview) -> int:
        if not room.acquire(blocking=False):
            raise OSError(28, os.strerror(28))
        return real_write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(FewposeError, match="No space left on device"):
            mannequins(root, per_class=8)
    made = len(pictures(root))
    assert 1 <= made <= 3
    assert len(synthetic(root)) == made
    assert mannequins(root, per_class=8).there.total() == made  # type: ignore[attr-defined]


# Workers that die


@contextmanager
def killing(when: Callable[[int], bool]) -> Any:
    """Kill workers with `kill -9` as soon as they are there and `when`, given how many were killed, says so."""
    stop = threading.Event()
    killed: set[int | None] = set()

    def kill() -> None:
        while not stop.wait(0.02):
            for child in active_children():
                if child.pid not in killed and when(len(killed)):
                    killed.add(child.pid)
                    os.kill(int(child.pid or 0), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    stop.set()
    thread.join()


@pytest.mark.slow
def test_what_a_lost_worker_had_not_written_is_made_by_others(tmp_path: Path) -> None:
    undisturbed, disturbed = collection(tmp_path / "a"), collection(tmp_path / "b")
    mannequins(undisturbed, per_class=8)
    with killing(lambda before: not before and len(pictures(disturbed)) >= 2) as killed:
        summary = mannequins(disturbed, per_class=8, resources=TWO)
    assert len(killed) == 1
    assert summary.made == {"plank": 8, "tree": 8}
    assert files(disturbed) == files(undisturbed)


@pytest.mark.slow
def test_an_image_with_which_every_worker_dies_is_named_and_the_others_are_made(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run, "Making", deadly.DiesOfOne)
        summary = mannequins(root, per_class=5, resources=TWO)
    assert summary.made == {"plank": 5, "tree": 4}
    assert [key.split("/")[0] for key in summary.lost] == ["tree"]
    assert len(synthetic(root)) == 9
    assert mannequins(root, per_class=5).made == {"tree": 1}  # it is tried again


@pytest.mark.slow
def test_what_a_worker_had_not_told_of_at_the_end_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, disturbed = collection(tmp_path / "a"), collection(tmp_path / "b")
    mannequins(undisturbed)
    monkeypatch.setattr(run, "Making", deadly.DiesAtTheEnd)
    summary = mannequins(disturbed, resources=TWO)
    assert list(tmp_path.rglob("died")) != []
    assert (summary.made, summary.in_the_way, summary.lost) == ({"plank": 3, "tree": 3}, [], [])
    assert files(disturbed) == files(undisturbed)


def test_workers_that_die_again_and_again_end_the_run_with_a_sentence(root: Path) -> None:
    with (
        killing(lambda _: True),
        pytest.raises(FewposeError, match=r"a worker died twice before it began \(a process with exit code -9"),
    ):
        mannequins(root, per_class=8, resources=TWO)
    assert active_children() == []


@pytest.mark.slow
def test_what_a_worker_raises_is_the_users_sentence(root: Path) -> None:
    in_the_way = provenance.sidecar(root / "images" / foresee(root, MANNEQUIN, Wanted(per_class=4)).jobs[5].key)
    in_the_way.write_text("{}")
    with pytest.raises(FewposeError, match=r"images/tree/synthetic.*\.json is in the way: move it"):
        mannequins(root, per_class=4, resources=TWO)
    assert in_the_way.read_text() == "{}"
    assert active_children() == []
    assert len(synthetic(root)) == len(pictures(root)) < 8


# Models


class Painter:
    """A small generator: a plain colour from the seed; says no to every third, like a safety checker."""

    batch = 2

    def __init__(self, seconds: float = 0.0, fails_after: int = 1000) -> None:
        self.made: list[str] = []
        self.batches: list[int] = []
        self._seconds = seconds
        self._fails_after = fails_after

    def make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        self.batches.append(len(jobs))
        time.sleep(self._seconds)
        if len(self.made) >= self._fails_after:
            raise KeyboardInterrupt
        self.made += [job.key for job in jobs]
        return [Made(job, None if job.index % 3 == 2 else self._paint(job)) for job in jobs]

    def facts(self) -> dict[str, str]:
        return {"generator": "Painter", "model": "a/painter"}

    def _paint(self, job: ImageJob) -> Image.Image:
        assert "tree" in job.prompt.lower()
        return Image.fromarray(np.random.default_rng(job.seed).integers(0, 256, (32, 32, 3), np.uint8))


def paint(root: Path, monkeypatch: pytest.MonkeyPatch, painter: Painter, per_class: int) -> Summary:
    monkeypatch.setattr(making, "load", lambda *_: painter)
    monkeypatch.setattr(making, "weights", lambda _: "f00d")
    return generate(root, Settings("a/painter"), Wanted(("tree",), per_class), Resources(device="cpu"))


def test_what_the_safety_checker_refuses_is_counted_and_not_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = paint(root, monkeypatch, Painter(), 7)
    assert (summary.made, summary.refused) == ({"tree": 5}, {"tree": 2})
    again = Painter()
    summary = paint(root, monkeypatch, again, 9)
    assert (summary.made, summary.there, summary.refused, summary.refused_before) == (
        {"tree": 1},
        {"tree": 5},
        {"tree": 1},
        {"tree": 2},
    )
    assert len(again.made) == 2
    lines = (root / "synthetic_refused.jsonl").read_text().splitlines()
    assert len(lines) == 3
    (root / "synthetic_refused.jsonl").write_text("\n".join(lines)[:-9])  # as a kill leaves it: made once more
    assert paint(root, monkeypatch, Painter(), 9).refused == {"tree": 1}
    assert paint(root, monkeypatch, Painter(), 9).refused_before == {"tree": 3}


def test_whatever_stops_a_run_what_it_made_has_its_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        paint(root, monkeypatch, Painter(fails_after=5), 12)
    assert len(synthetic(root)) == len(pictures(root)) == 4


def test_on_a_cpu_the_first_image_tells_how_long_it_will_take(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_SECONDS_TO_MENTION", 0.0)
    painter = Painter(seconds=0.01)
    paint(root, monkeypatch, painter, 6)
    assert painter.batches == [1, 2, 2, 1]
    told = r"an image takes \d+\.\d s: about 1 min for the others on this CPU; a GPU is advised"
    assert re.search(told, capsys.readouterr().err)


# What makes no sense


@pytest.mark.slow
def test_one_run_at_a_time(root: Path) -> None:
    process = command(root, "--workers", "1", per_class=500)
    ends(lambda: bool(pictures(root)))
    with pytest.raises(FewposeError, match="another synth generate works on"):
        mannequins(root)
    process.kill()
    process.communicate()
    assert sum(mannequins(root, per_class=2).made.values()) <= 4


@pytest.mark.slow
def test_while_another_command_changes_the_tables_the_images_wait(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_SECONDS_FOR_THE_TABLE", 0.0)
    with (
        Collection.open(root).locked(),
        pytest.raises(FewposeError, match=r"the images are made.*another command is changing"),
    ):
        mannequins(root)
    assert len(pictures(root)) == 6
    assert len(synthetic(root)) == 0
    summary = mannequins(root)
    assert (summary.made, summary.adopted.added) == ({}, 6)


def test_mistakes_are_said_before_anything_is_made(root: Path, tmp_path: Path) -> None:
    before = files(root)
    with pytest.raises(UsageError, match=r"the collection has no swan; it has plank, tree"):
        generate(root, MANNEQUIN, Wanted(("swan",)), ONE)
    with pytest.raises(UsageError, match="is not a collection"):
        generate(tmp_path / "nothing", MANNEQUIN, Wanted(), ONE)
    with pytest.raises(UsageError, match="--workers must be a whole number, at least 0"):
        Resources(workers=WorkerSettings(workers=-1))
    with pytest.raises(UsageError, match="--engine must be auto or processes or ray"):
        Resources(workers=WorkerSettings("slurm"))  # type: ignore[arg-type]
    assert {path: digest for path, digest in files(root).items() if path != ".generate.lock"} == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(root: Path) -> None:
    with pytest.raises(UsageError, match=r"--device cuda can't be used on this machine; try --device cpu"):
        generate(root, Settings("some/model"), Wanted(), Resources(device="cuda"))


def test_the_collection_has_what_the_test_expects(root: Path) -> None:
    assert len(Collection.open(root).images()) == len(LABELS) * PHOTOS
