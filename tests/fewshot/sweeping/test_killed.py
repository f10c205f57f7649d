"""A sweep that is killed and interrupted, again and again, ends with the tables of one that was left in peace."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from curate.collection.directory import Collection
from curate.sweeps.records import read_sweep
from fewshot.reporting import write_report
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings

pytestmark = pytest.mark.whole

GRID = {
    "methods": ("zero-shot", "linear-probe", "finetune"),
    "splits": 6,
    "shots": (2, 5),
    "recipes": {"finetune": {"epochs": 2, "lr": 1e-4}},
}
FLAGS = "--methods zero-shot,linear-probe,finetune --splits 6 --shots 2,5 --epochs 2 --lr 1e-4 --workers 2"
PROGRAM = [sys.executable, "-c", "from fewshot.cli import app; app()", "sweep"]
PATIENCE = 120  # seconds for what takes ten on an idle machine


@contextmanager
def running(collection: Collection, out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, in a process group of its own, which is gone when the block ends."""
    command = [*PROGRAM, str(collection.root), "--out", str(out), "--model", "tiny/random", "--device", "cpu"]
    with subprocess.Popen(
        [*command, *FLAGS.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts pytest in the background has it, and all that it starts, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def finished(out: Path) -> int:
    return len(list((out / "trials").rglob("s*.json")))


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.005)


def let_it_work(process: subprocess.Popen[str], out: Path, moment: random.Random) -> None:
    """Until a few more trials are done, and into the midst of the next."""
    wanted = finished(out) + moment.randint(1, 5)
    wait_until(lambda: finished(out) >= wanted, process)
    time.sleep(moment.uniform(0, 0.3))


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    """Whether it runs, rather than waits for somebody to take note of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def tables(sweep: Path) -> dict[str, bytes]:
    write_report(sweep)
    return {name: (sweep / name).read_bytes() for name in ("results.csv", "differences.csv", "wrong.csv")}


@pytest.fixture
def _threads_of_a_worker() -> Iterator[None]:
    """What is trained on other numbers of threads differs in its last bits."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    yield
    torch.set_num_threads(1)


@pytest.fixture
def undisturbed(settings: Callable[..., SweepSettings], tmp_path: Path, _threads_of_a_worker: None) -> dict[str, bytes]:
    """The tables of the same sweep, made by one process."""
    asked = settings(out=tmp_path / "undisturbed", **GRID)
    assert run_sweep(asked).failed == {}
    return tables(asked.out)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for left-over processes in Linux's /proc")
def test_killed_and_interrupted_sweeps_end_with_the_same_bytes(
    undisturbed: dict[str, bytes], own_collection: Collection, settings: Callable[..., SweepSettings], tmp_path: Path
) -> None:
    out, moment = tmp_path / "sweep", random.Random(5)

    with running(own_collection, out) as process:  # kill -9 of all of it
        let_it_work(process, out, moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
    first = finished(out)
    assert 0 < first < 30
    write_report(out)  # of what there is

    with running(own_collection, out) as process:  # Ctrl-C in a terminal, while the workers start
        wait_until(lambda: len(children(process.pid)) >= 3, process)  # they, and Python's resource tracker
        time.sleep(moment.uniform(0.5, 1.5))
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.endswith("Interrupted. Nothing that was finished is lost: the same command goes on from here.\n")
    assert "Traceback" not in errors
    assert finished(out) == first  # what is in flight is not waited for

    with running(own_collection, out) as process:  # kill -9 of the parent alone: its workers must not stay for ever
        let_it_work(process, out, moment)
        others = children(process.pid)
        assert len(others) >= 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        wait_until(lambda: not any(map(alive, others)))
    second = finished(out)
    assert first < second < 30

    summary = run_sweep(settings(collection=own_collection.root, out=out, **GRID))
    assert summary.found >= second
    assert (summary.done, summary.failed) == (30, {})
    assert {record.status for record in read_sweep(out).records} == {"done"}
    assert tables(out) == undisturbed
    assert not list(out.rglob(".writing-*"))
