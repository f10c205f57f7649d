"""Sweeps on a real Ray cluster of two nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.locks import only_one
from fewshot.reporting import write_report
from fewshot.sweeping import cluster as clusters
from fewshot.sweeping import plan as planning
from fewshot.sweeping.batched_trials import Pack
from fewshot.sweeping.cluster import Order, _cpus_each, _Crew, _places
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials import records
from fewshot.trials.records import Trial

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


def actors() -> list[int]:
    """Process ids of our actors on this machine, which all nodes of the test are."""
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if "ray::Cabin" in line]


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

    def kill() -> None:
        wait_until(lambda: seen.update(actors()) or (finished(there.out) >= 2 and bool(seen)))
        os.kill(max(seen), signal.SIGKILL)
        losses.append(finished(there.out))
        wait_until(lambda: seen.update(actors()) or finished(there.out) >= 6)
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
    wait_until(lambda: not actors())


# Actors that start in a moment, and die where a file says so.
class Trap:
    def begin(self, order: Order) -> None:
        self.out = order.plan.settings.out
        if (self.out / "no begin").exists():
            os._exit(1)

    def run(self, pack: Pack) -> None:
        for trial in pack.missing:
            once, always, fault = (self.out / f"{kind}-{trial.split}" for kind in ("once", "always", "fault"))
            if once.exists() or always.exists():
                once.unlink(missing_ok=True)
                os._exit(1)
            if fault.exists():
                raise KeyError("a fault of ours")
            (self.out / f"done-{trial.split}").touch()


def local(trap: type) -> type:
    """The class by value: the nodes know nothing of tests."""
    import ray.cloudpickle as by_value

    by_value.register_pickle_by_value(sys.modules[trap.__module__])
    return trap


@pytest.fixture
def crew(cluster: Any, settings: Build, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Crew]:
    asked = settings()
    asked.out.mkdir()
    monkeypatch.setattr(clusters, "Cabin", local(Trap))
    with _Crew(ray, Order(planning.make(asked), "cpu", 1, "", "", {}), {"num_cpus": 1}, 1) as crew:
        yield crew


TRIALS = tuple(Trial("unfiltered", "linear-probe", 6, number) for number in range(4))


def test_a_pack_that_kills_its_workers_is_taken_apart(crew: _Crew) -> None:
    out = crew._order.plan.settings.out
    for name in ("always-1", "once-3"):
        (out / name).touch()
    advanced: list[int] = []
    crew.work([Pack(TRIALS[:2], TRIALS[:2]), Pack(TRIALS[2:], TRIALS[2:])], advanced.append)
    assert sum(advanced) == 4
    assert sorted(path.name for path in out.glob("done-*")) == ["done-0", "done-2", "done-3"]
    lost = records.read(out, TRIALS[1])
    assert lost is not None
    assert (lost.status, lost.cause) == ("failed", "killed")
    assert finished(out) == 1


def test_a_fault_of_ours_over_there_ends_the_sweep_with_its_name(crew: _Crew) -> None:
    (crew._order.plan.settings.out / "fault-1").touch()
    with pytest.raises(KeyError, match="a fault of ours"):
        crew.work([Pack(TRIALS, TRIALS)], lambda steps: None)


def test_workers_that_die_before_they_begin_end_the_sweep_with_a_sentence(
    cluster: Any, settings: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings()
    asked.out.mkdir()
    (asked.out / "no begin").touch()
    monkeypatch.setattr(clusters, "Cabin", local(Trap))
    order = Order(planning.make(asked), "cpu", 1, "", "", {})
    with _Crew(ray, order, {"num_cpus": 1}, 1) as crew, pytest.raises(FewposeError, match="died twice before it began"):
        crew.work([Pack(TRIALS, TRIALS)], lambda steps: None)


def test_a_worker_that_sees_other_files_is_named(
    cluster: Any, settings: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "mounted"
    monkeypatch.setattr(clusters, "_everywhere", lambda plan: plan)
    tokens = clusters._tokens

    def other(asked: SweepSettings) -> Any:
        elsewhere.mkdir()
        (elsewhere / "images.parquet").write_bytes(b"another table")
        return _with(tokens(asked), {elsewhere / "images.parquet": "f00d"})

    monkeypatch.setattr(clusters, "_tokens", other)
    with pytest.raises(FewposeError, match=r"a worker on .* does not see .*mounted as the machine that asks does"):
        run_sweep(settings(engine="ray", methods=("zero-shot",)))
    assert finished(tmp_path / "sweep") == 0


def _with(tokens: Any, more: dict[Path, str]) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def joined() -> Iterator[dict[Path, str]]:
        with tokens as found:
            yield found | more

    return joined()


def test_a_token_is_there_for_the_time_of_a_sweep(settings: Build) -> None:
    asked = settings()
    asked.out.mkdir()
    plan = planning.make(asked)
    with clusters._tokens(asked) as tokens:
        order = Order(plan, "cpu", 1, "", "", tokens)
        order.check()
        next(iter(tokens)).write_text("of another sweep")
        with pytest.raises(FewposeError, match=r"does not see .*/sweep as"):
            order.check()
    assert list(asked.out.iterdir()) == []
    with pytest.raises(FewposeError, match=r"does not see .*/sweep as"):
        order.check()


def test_a_worker_with_other_weights_is_named(settings: Build, collection: Collection) -> None:
    plan = planning.make(settings())
    with pytest.raises(FewposeError, match="has other weights of tiny/random than the machine that asks"):
        in_a_process(lambda: clusters.Cabin().begin(Order(plan, "cpu", 1, "", "f00d", {})))


def in_a_process(work: Callable[[], None]) -> None:
    """What an actor does to its process is not for this one: signals, threads."""
    before = signal.getsignal(signal.SIGINT)
    try:
        work()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_sweep_in_the_same_directory_is_refused(settings: Build) -> None:
    asked = settings(engine="ray")
    with only_one(asked.out, "fewshot sweep"), pytest.raises(UsageError, match="another fewshot sweep is running in"):
        run_sweep(asked)


# Places


class Nodes:
    """What Ray says of nodes with so many CPUs and cards."""

    def __init__(self, *nodes: tuple[int, int]) -> None:
        self._nodes = nodes

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(c), "GPU": float(g)}} for c, g in self._nodes]


@pytest.mark.parametrize(
    ("nodes", "changes", "expected"),
    [
        ([(16, 0), (8, 0)], {}, ({"num_cpus": 8}, 3, "cpu", 8)),
        ([(2, 0)], {"workers": 2}, ({"num_cpus": 1}, 2, "cpu", 1)),
        ([(4, 0), (4, 0)], {"workers": 3}, ({"num_cpus": 2}, 3, "cpu", 2)),
        ([(16, 2), (16, 2)], {"device": "auto"}, ({"num_gpus": 1.0, "num_cpus": 0}, 4, "cuda", 8)),
        ([(16, 2)], {"device": "cuda", "gpu_share": 1 / 3}, ({"num_gpus": 1 / 3, "num_cpus": 0}, 6, "cuda", 2)),
        (
            [(16, 2)],
            {"device": "cuda", "gpu_share": 0.4, "workers": 3},
            ({"num_gpus": 0.4, "num_cpus": 0}, 3, "cuda", 4),
        ),
        ([(16, 2)], {}, ({"num_cpus": 8}, 2, "cpu", 8)),
    ],
)
def test_places(settings: Build, nodes: list[tuple[int, int]], changes: dict[str, Any], expected: Any) -> None:
    assert _places(Nodes(*nodes), settings(**changes)) == expected


def test_more_workers_than_cpus_have_one_each() -> None:
    assert _cpus_each([2, 1], 9) == 1


def test_what_the_cluster_lacks_is_said(settings: Build) -> None:
    with pytest.raises(UsageError, match="--device cuda: the Ray cluster has no GPU"):
        _places(Nodes((2, 0)), settings(device="cuda"))
    with pytest.raises(UsageError, match="Ray chooses which"):
        _places(Nodes((2, 2)), settings(device="cuda:1"))
    with pytest.raises(FewposeError, match="no node with a CPU"):
        _places(Nodes((0, 0)), settings())
    with pytest.raises(UsageError, match="--gpu-share 0: a part of a card"):
        settings(gpu_share=0.0)


def test_a_cluster_that_does_not_answer_is_named(settings: Build) -> None:
    code = f"""
from fewshot.sweeping.run import run_sweep
from pathlib import Path
from fewshot.sweeping.settings import SweepSettings
from curate.foundation import console
app = console.application("A sweep.")
app.command()(lambda: run_sweep(SweepSettings(Path({str(settings().collection)!r}), Path({str(settings().out)!r}),
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
app.command()(lambda: run_sweep(SweepSettings(Path({root!r}), Path({out!r}), model="tiny/random",
    shots=(2, 5), splits=20, engine="ray", device="cpu", workers=2,
    methods=("finetune",), recipes={{"finetune": {{"epochs": 30}}}})))
console.run(app)
"""


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
