"""Units handed out to actors of a real Ray cluster of two nodes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curate.foundation.errors import FewposeError, UsageError
from curate.models import clip_models
from curate.models.same_model import SameModel
from curate.workers.cluster import Cluster
from curate.workers.opening import Shared, in_order, open_pool
from curate.workers.pool import GivenUp, Pool, in_halves
from curate.workers.same_files import same_files
from curate.workers.settings import WorkerSettings
from tests.curate.workers import trap
from tests.curate.workers.trap import Numbers, Trap

ray = pytest.importorskip("ray")

RAY = WorkerSettings("ray")
ONE = WorkerSettings("ray", 1)


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    """The nodes know nothing of tests."""
    import ray.cloudpickle as by_value

    by_value.register_pickle_by_value(trap)
    by_value.register_pickle_by_value(sys.modules[__name__])
    yield
    by_value.unregister_pickle_by_value(trap)
    by_value.unregister_pickle_by_value(sys.modules[__name__])


@contextmanager
def opened(out: Path, asked: WorkerSettings = ONE, shared: Shared | None = None) -> Iterator[Pool[Numbers, int]]:
    with open_pool(Trap(out), asked, most=10, halves=in_halves, shared=shared) as pool:
        yield pool


def work(out: Path, *units: Numbers) -> list[tuple[Numbers, Any]]:
    with opened(out) as pool:
        return list(pool.run(units))


def given_up(found: Sequence[tuple[Numbers, Any]]) -> list[list[int]]:
    return [list(unit) for unit, result in found if isinstance(result, GivenUp)]


def test_both_nodes_work(cluster: Any, tmp_path: Path) -> None:
    assert list(in_order(_square, range(20), RAY)) == [number * number for number in range(20)]
    with opened(tmp_path, RAY, Shared(tmp_path)) as pool:
        assert len(pool.places) == 2
        found = list(pool.run([(number,) for number in range(20)]))
        assert sum(pool.finish()) == sum(range(20))
        assert [path.name for path in tmp_path.glob(".writing-*.json")] != []
    assert list(tmp_path.glob(".writing-*")) == []
    assert sorted(unit[0] for unit, _ in found) == list(range(20))


def _square(number: int) -> int:
    return number * number


def test_units_that_kill_their_workers_are_taken_apart(cluster: Any, tmp_path: Path) -> None:
    for name in ("die 1", "once die 3"):
        (tmp_path / name).touch()
    found = work(tmp_path, (0, 1), (2, 3))
    assert given_up(found) == [[1]]
    assert sorted(number for unit, _ in found for number in unit) == [0, 1, 2, 3]
    assert [result.why[:9] for _, result in found if isinstance(result, GivenUp)] == ["Ray says "]


def test_a_fault_over_there_is_raised_here_with_a_note_of_where(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "fault 1").touch()
    with pytest.raises(ZeroDivisionError, match="seven") as told:
        work(tmp_path, (0, 1))
    assert "trap.py" in told.value.__notes__[0]
    (tmp_path / "wrong").touch()
    with pytest.raises(UsageError, match=r"^there is no such thing$"):
        work(tmp_path, (0,))


def test_workers_that_die_before_they_begin_end_it_with_a_sentence(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "no begin").touch()
    with pytest.raises(FewposeError, match=r"died twice before it began \(Ray says"):
        work(tmp_path, (0,))


def test_a_worker_that_sees_other_files_is_named(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounted").mkdir()
    other = tmp_path / "mounted" / "images.parquet"
    monkeypatch.setattr("curate.workers.same_files._digest", lambda file: "f00d")
    with (
        pytest.raises(FewposeError, match=r"a worker on .* does not see .* as the machine that asks does"),
        opened(tmp_path, ONE, Shared(tmp_path, (other,))) as pool,
    ):
        pool.ready()
    assert list(tmp_path.glob(".writing-*")) == []


def test_a_file_tells_the_same_folder_for_the_time_of_the_work(tmp_path: Path) -> None:
    with same_files(tmp_path) as files:
        files.check()
        next(iter(files.digests)).write_text("of other work")
        with pytest.raises(FewposeError, match=r"does not see .* as the machine"):
            files.check()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FewposeError, match=r"does not see .* as the machine"):
        files.check()
    with pytest.raises(FewposeError, match=r"nothing can't be written to \(No such file or directory\)"):  # noqa: SIM117
        with same_files(Path("/proc/nothing")):
            pass


@pytest.mark.slow
def test_a_worker_with_other_weights_is_named() -> None:
    clip = clip_models.load("tiny/random", device="cpu")
    same = SameModel.as_(clip, None)
    assert same.load("cpu").image_digest == clip.image_digest
    other = SameModel("tiny/random", None, clip.precision, "f00d")
    with pytest.raises(FewposeError, match="has other weights of tiny/random than the machine that asks"):
        other.load("cpu")


# The connection


def test_without_ray_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'fewpose\[ray\]'"):
        Cluster()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:123456", "nowhere"])
@pytest.mark.parametrize("named", ["--address ", "RAY_ADDRESS="])
def test_a_cluster_that_does_not_answer_is_named(address: str, named: str) -> None:
    code = f"""
from curate.foundation.errors import FewposeError
from curate.workers.cluster import Cluster

try:
    Cluster({address if named == "--address " else ""!r})
except FewposeError as error:
    print(error)
"""
    environment = {**os.environ, "RAY_ADDRESS": address if named == "RAY_ADDRESS=" else "127.0.0.1:2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith(f"no Ray cluster answers at {named}{address} (")


@pytest.mark.slow
def test_without_an_address_a_quiet_ray_is_started_and_ended() -> None:
    code = """
from curate.workers.opening import in_order
from curate.workers.settings import WorkerSettings

if __name__ == "__main__":
    print(list(in_order(abs, [-1, -2], WorkerSettings("ray", 1))))
    import ray
    print(ray.is_initialized())
"""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("[1, 2]\nFalse\n", "", 0)
