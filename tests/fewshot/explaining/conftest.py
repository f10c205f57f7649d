"""Trained models of drawn patterns and of rendered people, and the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.body.poses import shipped
from curate.body.projected import skeletons
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.pose.classifier import PostureClassifier, views
from curate.workers.settings import WorkerSettings
from fewshot import cli
from fewshot.classifier import BodyClassifier
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train
from synth.rendering.folder import render_folder

Run = Callable[..., tuple[int, str, str]]
POSES = ("tree", "warrior_ii", "plank", "boat")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, collection: Collection) -> Path:
    """A trained model's directory."""
    settings = SweepSettings.of(
        collection.root,
        tmp_path_factory.mktemp("kept") / "model",
        methods=("linear-probe",),
        shots=(1,),
        splits=1,
        model="tiny/random",
        device="cpu",
    )
    return train(TrainSettings(settings, folds=2)).out


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory, kept: Path, collection: Collection) -> Path:
    """Another model of the same classes."""
    out = tmp_path_factory.mktemp("other") / "model"
    settings = SweepSettings.of(
        collection.root, out, methods=("nearest-class-mean",), model="tiny/random", device="cpu"
    )
    return train(TrainSettings(settings.replaced(shots=(1,), splits=1), folds=0)).out


@pytest.fixture(scope="session")
def postures() -> tuple[BodyClassifier, np.ndarray]:
    """A classifier of POSES that learned from projected skeletons, and other skeletons, (16, 33, 5), four of a pose."""
    poses = [shipped()[name] for name in POSES]
    learned, labels = skeletons(poses, views=8, seed=1)
    forest = PostureClassifier(views(learned), labels, trees=20).forest()
    return BodyClassifier(forest, len(POSES)), skeletons(poses, views=4, seed=2)[0]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered people, a folder for each of POSES."""
    out = tmp_path_factory.mktemp("people") / "photos"
    render_folder(out, POSES, 6, size=256, seed=3, workers=WorkerSettings(workers=1))
    return out


@pytest.fixture(scope="session")
def kept_of_people(tmp_path_factory: pytest.TempPathFactory, people: Path) -> dict[str, Path]:
    """By method the directory of a model of POSES."""
    root = tmp_path_factory.mktemp("kept_of_people")
    import_folder(people, root / "collection", workers=1)
    made = {}
    for name in ("pose", "pose+linear-probe"):
        settings = SweepSettings.of(
            root / "collection", root / name, methods=(name,), shots=(1,), splits=1, model="tiny/random", device="cpu"
        )
        made[name] = train(TrainSettings(settings, folds=0)).out
    return made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `fewshot explain --device cpu ARGUMENTS` in this process: exit code, stdout, stderr."""

    def start(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fewshot", "explain", "--device", "cpu", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.app()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return start
