"""The engine on a real Ray cluster of two nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curate.foundation.errors import FewposeError, UsageError
from curate.workers.settings import WorkerSettings
from synth.generate.run import Summary, generate
from synth.generate.settings import Resources, Settings, Wanted
from tests.actors import own_actors
from tests.synth.generate.a_collection import collection, files

ray = pytest.importorskip("ray")

MANNEQUIN = Settings("mannequin", width=64, height=64)
RAY = Resources(workers=WorkerSettings("ray"))


def mannequins(root: Path, resources: Resources = RAY) -> Summary:
    return generate(root, MANNEQUIN, Wanted(per_class=10), resources)


def test_a_lost_worker_changes_nothing(cluster: None, tmp_path: Path) -> None:
    here, there = collection(tmp_path / "a"), collection(tmp_path / "b")
    mannequins(here, Resources(workers=WorkerSettings(workers=1)))
    killed: list[int] = []

    def kill_one() -> None:
        end = time.monotonic() + 60.0
        while time.monotonic() < end and len(list(there.rglob("synthetic-*.png"))) < 2:
            time.sleep(0.02)
        killed.extend(own_actors()[:1])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill_one)
    thread.start()
    summary = mannequins(there)
    thread.join()
    assert len(killed) == 1
    assert summary.made == {"plank": 10, "tree": 10}
    assert files(there) == files(here)


def _wait_until_none_is_left() -> None:
    end = time.monotonic() + 10.0
    while own_actors():  # Ray takes a moment
        assert time.monotonic() < end
        time.sleep(0.05)


def test_both_nodes_have_their_part(cluster: None, tmp_path: Path) -> None:
    root = collection(tmp_path)
    _wait_until_none_is_left()
    seen: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            seen.update(own_actors())

    thread = threading.Thread(target=look)
    thread.start()
    mannequins(root)
    stop.set()
    thread.join()
    assert len(seen) == 2
    _wait_until_none_is_left()


def test_a_cluster_without_gpus(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.generate.making.weights", lambda _: "f00d")
    root = collection(tmp_path)
    with pytest.raises(UsageError, match="--device cuda: the Ray cluster has no GPU"):
        generate(root, Settings("some/model"), Wanted(("tree",), 1), Resources("cuda", workers=RAY.workers))
    with pytest.raises(UsageError, match="Ray chooses which"):
        generate(root, Settings("some/model"), Wanted(("tree",), 1), Resources("cuda:1", workers=RAY.workers))


def test_what_an_actor_raises_is_the_users_sentence(cluster: None, tmp_path: Path) -> None:
    root = collection(tmp_path)
    source = next((root / "images" / "tree").glob("*.png"))
    for photo in (root / "images" / "tree").glob("*.png"):
        photo.unlink()
    with pytest.raises(FewposeError) as told:
        generate(root, Settings("augment", width=64), Wanted(("tree",), 2, "pool"), RAY)
    assert str(source.parent) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.ray
def test_without_an_address_a_ray_of_this_machine_is_started_and_ended(tmp_path: Path) -> None:
    root = collection(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from synth.cli import app; app()", "generate", root, "--engine=ray"),
            *("--model=mannequin", "--size=64", "--per-class=2", "--workers=1"),
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "4 images made" in done.stdout
    assert "Traceback" not in done.stderr
