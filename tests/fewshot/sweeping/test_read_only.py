"""A collection on a disk that can't be written to: swept, trained on and explained with caches elsewhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.foundation.cache import CannotWrite
from fewshot.explaining.hardest import explain_sweep
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

pytestmark = pytest.mark.slow

Build = Callable[..., SweepSettings]


@pytest.fixture
def protected(own_collection: Collection, read_only: Callable[[Path], None]) -> Collection:
    read_only(own_collection.root)
    return own_collection


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_place_that_lacks_is_named_and_the_advice_works(
    protected: Collection, settings: Build, tmp_path: Path
) -> None:
    asked = settings(collection=protected.root)
    for command in (lambda: run_sweep(asked), lambda: train(TrainSettings(asked.replaced(out=tmp_path / "model")))):
        with pytest.raises(
            CannotWrite, match=f"^the cache {protected.root}/cache/.* can't be written to .*--cache DIR"
        ):
            command()
    before = files(protected.root)
    elsewhere = asked.replaced(cache=tmp_path / "caches")
    assert run_sweep(elsewhere).done == 6
    assert train(TrainSettings(elsewhere.replaced(out=tmp_path / "model", methods=("linear-probe",)))).about.classes
    mistaken = elsewhere.replaced(out=tmp_path / "mistaken", methods=("zero-shot",))
    run_sweep(mistaken)
    assert explain_sweep(mistaken.out, device="cpu", cache=tmp_path / "caches").mistakes
    assert files(protected.root) == before
    assert any(name.endswith(".npy") for name in files(Collection(protected.root, tmp_path / "caches").cache()))


def test_workers_find_the_caches_too(protected: Collection, settings: Build, tmp_path: Path) -> None:
    asked = settings(collection=protected.root, cache=tmp_path / "caches", workers=2, engine="processes")
    summary = run_sweep(asked)
    assert (summary.done, summary.failed) == (6, {})
