"""A trained model of drawn patterns, and the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from fewshot import cli
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

Run = Callable[..., tuple[int, str, str]]


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
