"""Units handed out to real processes: in order, once each, again where a worker was lost. Ray's are in test_cluster."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curate.foundation.errors import FewposeError, UsageError
from curate.workers import pool as pools
from curate.workers.opening import in_order, open_pool
from curate.workers.places import Place
from curate.workers.pool import GivenUp, Pool, RemotePool, in_halves
from curate.workers.processes import Processes
from curate.workers.settings import WorkerSettings
from tests.curate.workers.trap import Numbers, Stubborn, Trap

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TWO = WorkerSettings(workers=2)


@contextmanager
def opened(out: Path, asked: WorkerSettings = TWO) -> Iterator[Pool[Numbers, int]]:
    with open_pool(Trap(out), asked, most=10, halves=in_halves) as pool:
        yield pool
    assert multiprocessing.active_children() == []


def work(out: Path, *units: Numbers, asked: WorkerSettings = TWO) -> list[tuple[Numbers, Any]]:
    with opened(out, asked) as pool:
        return list(pool.run(units))


def log(out: Path) -> list[int]:
    return [int(line) for line in (out / "log").read_text().split()]


def singles(count: int) -> list[Numbers]:
    return [(number,) for number in range(count)]


def given_up(found: Sequence[tuple[Numbers, Any]]) -> list[Numbers]:
    return [unit for unit, result in found if isinstance(result, GivenUp)]


def test_every_unit_is_done_once_in_order_by_all_workers(tmp_path: Path) -> None:
    found = work(tmp_path, *singles(30))
    assert sorted(unit[0] for unit, _ in found) == list(range(30))
    order = log(tmp_path)
    assert sorted(order) == list(range(30))
    # However slow one worker is: of the units before the latest that was done, no more than its one is not done yet.
    assert all(max(order[:done]) + 1 - done < 2 for done in range(1, len(order) + 1))
    assert os.getpid() not in {who for _, who in found}


def test_each_worker_has_a_place_and_libraries_their_part_of_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with Processes(Trap(tmp_path)) as transport:
        pool: Pool[Numbers, int] = RemotePool(transport, [Place(0, "cpu", 3), Place(1, "cuda:1", 3)])
        pool.ready()
        assert len(list(pool.run(singles(4)))) == 4
        while len(list(tmp_path.glob("place *"))) < 2:  # one may have done it all
            time.sleep(0.01)
    assert {path.name for path in tmp_path.glob("place *")} == {"place 0 cpu 3 3", "place 1 cuda:1 3 3"}
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    assert work(tmp_path, (1,), (2,), asked=WorkerSettings(workers=1)) == [((1,), os.getpid()), ((2,), os.getpid())]


def test_workers_that_are_killed_take_none_but_the_guilty_unit_along(tmp_path: Path) -> None:
    for name in ("once die 2", "die 5", "once die 8"):
        (tmp_path / name).touch()
    found = work(tmp_path, *singles(10))
    assert sorted(unit[0] for unit, _ in found) == list(range(10))
    assert given_up(found) == [(5,)]
    assert sorted(log(tmp_path)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert next(result.why for unit, result in found if unit == (5,)) == "a process with exit code -9"


def test_a_unit_that_kills_its_worker_twice_is_halved(tmp_path: Path) -> None:
    (tmp_path / "die 5").touch()
    found = work(tmp_path, range(8))
    assert given_up(found) == [range(5, 6)]
    assert sorted(number for unit, _ in found for number in unit) == list(range(8))


def test_a_lost_workers_unit_is_next_of_all(tmp_path: Path) -> None:
    (tmp_path / "once die 0").touch()
    with Processes(Trap(tmp_path)) as transport:
        pool: Pool[Numbers, int] = RemotePool(transport, [Place()])
        list(pool.run(singles(4)))
    assert log(tmp_path) == [0, 1, 2, 3]


def test_a_worker_that_dies_before_it_begins_is_replaced_once(tmp_path: Path) -> None:
    (tmp_path / "once no begin").touch()
    assert given_up(work(tmp_path, *singles(4))) == []
    (tmp_path / "no begin").touch()
    with pytest.raises(FewposeError, match=r"a worker died twice before it began \(a process with exit code -9\)"):
        work(tmp_path, *singles(4))
    assert multiprocessing.active_children() == []


def test_a_fault_over_there_is_raised_here_with_a_note_of_where(tmp_path: Path) -> None:
    (tmp_path / "fault 1").touch()
    (tmp_path / "stubborn 2").touch()
    with pytest.raises(ZeroDivisionError, match="seven") as told:
        work(tmp_path, (1,), (3,))
    assert "trap.py" in told.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Stubborn: seven: it is odd"):  # pickle can't bring it over
        work(tmp_path, (2,), (3,))
    assert str(Stubborn("a", "b")) == "a: b"


def test_a_users_mistake_that_is_found_over_there_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wrong").touch()
    with pytest.raises(UsageError, match=r"^there is no such thing$") as told:
        work(tmp_path, (1,), (3,))
    assert not hasattr(told.value, "__notes__")


def test_what_workers_keep_back_comes_at_the_end(tmp_path: Path) -> None:
    for asked in (TWO, WorkerSettings(workers=1)):
        with opened(tmp_path, asked) as pool:
            list(pool.run(singles(5)))
            list(pool.run(singles(6)))
            assert sum(pool.finish()) == 10 + 15


def test_who_waits_for_workers_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pools, "_SECONDS_TO_BEGIN", 0.0)
    work(tmp_path, *singles(2))
    assert capsys.readouterr().err == "no worker has begun yet: they load the model, or wait for a place\n"


def test_results_in_the_order_of_the_units(tmp_path: Path) -> None:
    assert list(in_order(_slow_at_first, range(7), TWO)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(in_order(os.getppid, [], TWO)) == []  # type: ignore[arg-type]
    assert list(in_order(_process, [1], TWO)) == [os.getpid()]  # too few to start a process for
    assert os.getpid() not in set(in_order(_process, [1, 2], TWO))


def _slow_at_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0.0)
    return number * number


def _process(_: int) -> int:
    return os.getpid()


def test_a_unit_of_a_list_that_is_given_up_ends_it_with_a_sentence() -> None:
    with pytest.raises(FewposeError, match=r"a worker died twice with the same work \(a process with exit code 9\)"):
        list(in_order(_dies, [1, 2], TWO))


def _dies(_: int) -> None:
    os._exit(9)


# As a terminal has them: in a process group that hears Ctrl-C

PROGRAM = """
import signal, sys
from pathlib import Path
from curate.workers.opening import open_pool
from curate.workers.settings import WorkerSettings
from tests.curate.workers.trap import Trap
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
if __name__ == "__main__":
    with open_pool(Trap(Path(sys.argv[1])), WorkerSettings(workers=2), most=9) as pool:
        print(list(pool.run([(number,) for number in range(9)])))
"""


@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9"])
def test_no_worker_outlives_who_asked(tmp_path: Path, how: str) -> None:
    (tmp_path / "hang 3").touch()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, program, tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        _wait_until(lambda: (tmp_path / "hanging").exists())
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.kill()
        _, said = process.communicate(timeout=60.0)
    assert said.rstrip().endswith("KeyboardInterrupt" if how == "Ctrl-C" else "")
    assert said.count("Traceback") == (how == "Ctrl-C")  # no worker heard of it
    _wait_until(lambda: _is_empty(process.pid))


def _wait_until(reached: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def _is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"engine": "slurm"}, "--engine must be auto or processes or ray, not 'slurm'"),
        ({"workers": -1}, "--workers must be a whole number, at least 0, not -1"),
        ({"gpu_share": 0.0}, "--gpu-share must be a number, above 0 and at most 1, not 0"),
        ({"gpu_share": 1.5}, r"--gpu-share must be a number, above 0 and at most 1, not 1\.5"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_option(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        WorkerSettings(**asked)
