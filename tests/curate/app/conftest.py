"""A database for the tests of this folder, and a small collection that was checked."""

import atexit
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.app import database, fiftyone_library
from curate.collection import findings
from curate.collection.directory import Collection
from curate.collection.findings import Findings, Ran
from curate.foundation.errors import UsageError
from curate.importing.importer import import_folder


@pytest.fixture(scope="session")
def fiftyone_installed() -> None:
    if find_spec("fiftyone") is None:
        pytest.skip("needs FiftyOne (pip install 'fewpose[app]')")
    try:
        database.mongod()
    except UsageError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an account remembers is remembered here, by this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def environment(state: None) -> dict[str, str]:
    """For programs that choose a database by themselves: nothing of this process's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")} | {
        "OMP_NUM_THREADS": "1"
    }


@pytest.fixture(scope="session")
def fiftyone_database(
    fiftyone_installed: None, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> database.Database:
    """FiftyOne of this process talks to a database of this session; it ends with the process."""
    folder = tmp_path_factory.mktemp("fiftyone")
    os.environ["FIFTYONE_DATABASE_DIR"] = str(folder / "db")
    os.environ["FIFTYONE_DEFAULT_DATASET_DIR"] = str(folder / "data")
    connected = database.connect(Collection.create(folder / "collection"))
    atexit.register(
        lambda: fiftyone_library.fo().core.odm.database._disconnect()
    )  # it leaves its clients open, as warnings say
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of mongoengine, when FiftyOne connects
        fiftyone_library.fo().list_datasets()
    return connected


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Two classes of three images; rule `dark` flags tree/0.png, rule `doubtful` of labels boat/1.png."""
    return checked(make_collection(tmp_path / "yoga", ["boat", "tree"]))


def make_collection(root: Path, classes: list[str], per_class: int = 3) -> Collection:
    random = np.random.default_rng(0)
    for label in classes:
        for number in range(per_class):
            path = root.with_name("photos") / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64)).save(path)
    import_folder(root.with_name("photos"), root, workers=1)
    return Collection.open(root)


def checked(collection: Collection, **rules: dict[str, float]) -> Collection:
    """Write findings as a check would. rules: by name, the scores by key; flagged from 0.5 on."""
    images = collection.images().set_index("key")
    rules = rules or {"dark": {"tree/0.png": 0.9, "tree/1.png": 0.2}, "doubtful": {"boat/1.png": 0.7}}
    rows = [
        (key, images["id"][key], rule, 1, score, 0.5, score >= 0.5, f"{rule} by {score}", "", "")
        for rule, scores in rules.items()
        for key, score in scores.items()
    ]
    table = pd.DataFrame(rows, columns=list(findings.COLUMNS))
    ran = {
        name: Ran(name, 1, "label" if name == "doubtful" else "quality", drops=True, parameters={"threshold": 0.5})
        for name in rules
    }
    ran["people"] = Ran("people", 1, "content", drops=False, parameters={}, not_run="there are no weights")
    findings.write(collection, Findings(table, ran, findings.digest(collection.images())))
    return collection


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Collection, Path]:
    """A collection of arches, boats and trees, and a sweep of it that was run and reported; tests only read both."""
    from fewshot.reporting import write_report
    from fewshot.sweeping.run import run_sweep
    from fewshot.sweeping.settings import SweepSettings
    from tests.fewshot.conftest import make

    folder = tmp_path_factory.mktemp("swept")
    made = make(folder / "collection", {"arch": 8, "boat": 8, "tree": 8})
    grid = {"methods": ("zero-shot", "nearest-class-mean", "linear-probe"), "shots": (2,), "splits": 12}
    run_sweep(SweepSettings.of(made.root, folder / "sweep", model="tiny/random", device="cpu", **grid))
    write_report(folder / "sweep")
    return made, folder / "sweep"


@pytest.fixture
def program(environment: dict[str, str], tmp_path: Path) -> Iterator["Programs"]:
    """Python programs as processes of their own, without a FIFTYONE_ variable; nothing of them outlives its test."""
    programs = Programs(environment)
    yield programs
    for process in programs.started:
        with process:  # closes its pipes
            process.kill()
    for pid in mongods(tmp_path):
        os.kill(pid, signal.SIGKILL)


class Programs:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.started: list[subprocess.Popen[str]] = []

    def start(self, code: str, *arguments: str | Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def curate(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        return self.start("from curate.cli import app; app()", *arguments)


def mongods(folder: Path) -> list[int]:
    """The running MongoDB servers of databases under a folder."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if f"{folder}/" in " ".join(database._command(pid)[:3])]


def line_with(process: "subprocess.Popen[str]", text: str) -> str:
    """The first line that a process prints with `text` in it; fails where it ends without one."""
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return line
    raise AssertionError("".join(said))
