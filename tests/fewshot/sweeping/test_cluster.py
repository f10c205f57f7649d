"""Sweeps on a real Ray cluster of two nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.collection.directory import Collection
from curate.foundation.errors import Busy, FewposeError
from curate.foundation.locks import only_one
from curate.workers import same_files
from fewshot.reporting import write_report
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from tests.actors import actors, own_actors

ray = pytest.importorskip("ray")

Build = Callable[..., SweepSettings]
GRID = {
    "methods": ("zero-shot", "nearest-class-mean", "finetune"),
    "splits": 6,
    "shots": (2, 5),
    "recipes": {"finetune": {"epochs": 2, "lr": 1e-4}},
}
PATIENCE = 400.0  # seconds: on a busy machine, Ray's workers took three minutes to load a model


def predictions(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "trials").rglob("*.npz"))}


def tables(sweep: Path) -> dict[str, bytes]:
    write_report(sweep)
    return {name: (sweep / name).read_bytes() for name in ("results.csv", "differences.csv", "wrong.csv")}


def finished(out: Path) -> int:
    return len(list((out / "trials").rglob("s*.json")))


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_lost_worker_and_a_lost_node_change_no_byte(cluster: Any, settings: Build, tmp_path: Path) -> None:
    here, there = settings(out=tmp_path / "here", **GRID), settings(out=tmp_path / "there", engine="ray", **GRID)
    run_sweep(here)
    seen: set[int] = set()
    losses: list[int] = []  # how many trials were done at each

    def reached(trials: int) -> bool:
        seen.update(own_actors())
        return finished(there.out) >= trials and bool(seen)

    def kill() -> None:
        wait_until(lambda: reached(2))
        os.kill(max(seen), signal.SIGKILL)
        losses.append(finished(there.out))
        wait_until(lambda: reached(6))
        lost = cluster.worker_nodes.copy().pop()
        cluster.remove_node(lost, allow_graceful=False)
        losses.append(finished(there.out))

    thread = threading.Thread(target=kill)
    thread.start()
    summary = run_sweep(there)
    thread.join()
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    assert len(seen) >= 2  # the other one, or who came for the one that was killed
    assert len(losses) == 2
    assert max(losses) < 30
    assert len(cluster.worker_nodes) == 1
    assert (summary.done, summary.failed) == (30, {})
    assert len(predictions(there.out)) == 30
    assert predictions(there.out) == predictions(here.out)
    assert tables(there.out) == tables(here.out)
    assert not list(there.out.rglob(".writing-*"))
    wait_until(lambda: not own_actors())


def test_a_worker_that_sees_other_files_is_named(
    cluster: Any, settings: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digests = iter(["as it is there", "otherwise"])  # of what is written into --out, and of the collection's table
    monkeypatch.setattr(same_files, "_digest", lambda file: next(digests))
    with pytest.raises(FewposeError, match=r"a worker on .* does not see .*sweep as the machine that asks does"):
        run_sweep(settings(engine="ray", methods=("zero-shot",)))
    assert next(digests, None) is None
    assert finished(tmp_path / "sweep") == 0
    assert not list((tmp_path / "sweep").glob(".writing-*"))


def test_caches_that_lie_elsewhere_are_those_of_all_workers(
    cluster: Any,
    settings: Build,
    own_collection: Collection,
    read_only: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """The collection can't be written to: whoever looked for caches in it would fail."""
    read_only(own_collection.root)
    asked = settings(collection=own_collection.root, cache=tmp_path / "caches", engine="ray", methods=("zero-shot",))
    summary = run_sweep(asked)
    assert (summary.done, summary.failed) == (2, {})
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_second_sweep_in_the_same_directory_is_refused(settings: Build) -> None:
    asked = settings(engine="ray")
    with only_one(asked.out, "fewshot sweep"), pytest.raises(Busy, match="another fewshot sweep is running in"):
        run_sweep(asked)


@pytest.mark.ray
def test_a_cluster_that_does_not_answer_is_named(settings: Build) -> None:
    code = f"""
from fewshot.sweeping.run import run_sweep
from pathlib import Path
from fewshot.sweeping.settings import SweepSettings
from curate.foundation import console
app = console.application("A sweep.")
app.command()(lambda: run_sweep(SweepSettings.of(Path({str(settings().collection)!r}), Path({str(settings().out)!r}),
    model="tiny/random", shots=(2,), splits=1, engine="ray", device="cpu", address="127.0.0.1:1")))
console.run(app)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Ray cluster answers at --address 127.0.0.1:1 (")
    assert done.stderr.count("\n") == 1


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from curate.foundation import console
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.run import run_sweep
app = console.application("A sweep.")
app.command()(lambda: run_sweep(SweepSettings.of(Path({root!r}), Path({out!r}), model="tiny/random",
    shots=(2, 5), splits=20, engine="ray", device="cpu", workers=2,
    methods=("finetune",), recipes={{"finetune": {{"epochs": 30}}}})))
console.run(app)
"""


@pytest.mark.ray
def test_ctrl_c_ends_all_of_it_and_keeps_what_is_done(settings: Build, tmp_path: Path) -> None:
    """On a Ray of this machine alone, which is started for it."""
    out = tmp_path / "sweep"
    code = INTERRUPTED.format(root=str(settings().collection), out=str(out))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        wait_until(lambda: finished(out) >= 1 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert errors.endswith("Interrupted. Nothing that was finished is lost: the same command goes on from here.\n")
    assert "Traceback" not in errors
    wait_until(lambda: not actors())
    before = finished(out)
    assert 1 <= before < 40
    assert not list(out.glob(".writing-*"))  # the token is gone
