"""A sweep or a model from a stranger: its links and names lead to nothing of the user's."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial, read_sweep
from fewshot.explaining import hardest
from fewshot.reporting import write_report
from fewshot.reporting.sections import explained
from fewshot.reporting.sections.content import Content
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory, place
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train
from fewshot.trials.explained import FILE, FOLDER, Mistake, Shown

TRIAL = Trial("unfiltered", "zero-shot", 0, 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    Image.linear_gradient("L").save(tmp_path / "home/00.png")
    (tmp_path / "home/.writing-mine.json").write_text("{}")
    (tmp_path / "home/explained.json").write_text("{}")
    return tmp_path / "home"


@pytest.fixture
def sweep(settings: Callable[..., SweepSettings]) -> Path:
    """A whole sweep, with a mistake that is shown, as `fewshot explain` leaves it."""
    asked = settings(methods=("zero-shot",), splits=1)
    run_sweep(asked)
    record = records.read(asked.out, TRIAL)
    assert record is not None
    mistake = Mistake("rings/1.png", "rings", "bars", 0.5, "00.png")
    shown = Shown(TRIAL, record.predictions_sha256, (mistake,), agreed=1, tested=1)
    (asked.out / FOLDER).mkdir()
    Image.linear_gradient("L").rotate(90).save(asked.out / FOLDER / "00.png")
    json_files.write(asked.out / FOLDER / FILE, shown.to_json())
    return asked.out


def pictures(sweep: Path) -> int:
    return explained.html(Content.of(read_sweep(sweep))).count("<img ")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["explained", "explained/00.png", "explained/explained.json"])
def test_a_report_embeds_no_picture_that_a_link_leads_to(sweep: Path, home: Path, name: str) -> None:
    assert pictures(sweep) == 1
    place, target = sweep / name, home / Path(name).name
    if place.is_dir():
        shutil.copytree(place, target)
        shutil.rmtree(place)
    else:
        shutil.copy(place, target)
        place.unlink()
    place.symlink_to(target)
    assert pictures(sweep) == 0
    assert write_report(sweep).html.exists()  # all else is there


def test_what_names_a_trial_elsewhere_shows_nothing(sweep: Path) -> None:
    path = sweep / FOLDER / FILE
    content = json_files.read(path)
    json_files.write(path, content | {"trial": asdict(replace(TRIAL, set="../../home"))})
    assert pictures(sweep) == 0
    assert write_report(sweep).html.exists()


def test_explaining_neither_writes_nor_deletes_where_a_link_leads(
    sweep: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(sweep / FOLDER)
    (sweep / FOLDER).symlink_to(home)
    before = snapshot(home)
    monkeypatch.setattr(hardest, "hardest", lambda found: _all_of(found.directory))
    with pytest.raises(FewposeError, match="sweep/explained is a symbolic link"):
        hardest.explain_sweep(sweep, device="cpu")
    assert snapshot(home) == before


def _all_of(sweep: Path) -> hardest.HardestMistakes:
    record = records.read(sweep, TRIAL)
    assert record is not None
    return hardest.HardestMistakes(record, records.read_predictions(sweep, TRIAL), (0, 1))


@pytest.mark.parametrize("set_", ["../../../home", "/", "..", "a\0b"])
def test_a_trial_s_name_leads_nowhere(sweep: Path, home: Path, set_: str) -> None:
    """Neither where a sweep.json says it, nor where a record is written."""
    foreign = replace(TRIAL, set=set_)
    content = json_files.read(sweep / "sweep.json")
    json_files.write(sweep / "sweep.json", content | {"trials": [asdict(foreign)]})
    with pytest.raises(FewposeError, match="is no name of a file in it"):
        read_sweep(sweep)
    before = snapshot(home.parent)
    none = np.zeros((0, 3), np.float32), np.zeros(0, np.int64), np.zeros(0, "U1")
    with pytest.raises(FewposeError, match="is no name of a file in it"):
        records.write(sweep, Record(foreign, "done", "lite0"), Predictions(*none))
    assert snapshot(home.parent) == before


@pytest.mark.parametrize("name", ["sweep.json", "trials", "trials/unfiltered", ".lock"])
def test_a_sweep_goes_on_through_no_link(
    settings: Callable[..., SweepSettings], sweep: Path, home: Path, name: str
) -> None:
    place, target = sweep / name, home / "target"
    (shutil.copytree if place.is_dir() else shutil.copy)(place, target)
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(target)
    before = snapshot(home)
    with pytest.raises(FewposeError, match=f"sweep/{name} is a symbolic link"):
        run_sweep(settings(methods=("zero-shot",), splits=2))
    assert snapshot(home) == before


def test_training_neither_writes_nor_deletes_where_a_link_leads(
    settings: Callable[..., SweepSettings], home: Path, tmp_path: Path
) -> None:
    asked = settings(methods=("linear-probe",), out=tmp_path / "model")
    asked.out.mkdir()
    (asked.out / place.FOLDS).symlink_to(home)
    before = snapshot(home)
    with pytest.raises(FewposeError, match=r"model/\.folds is a symbolic link"):
        train(TrainSettings(asked, folds=2))
    assert snapshot(home) == before


def test_a_model_is_read_through_links_but_no_pipe_is_waited_for(
    settings: Callable[..., SweepSettings], tmp_path: Path
) -> None:
    """The model hub's cache is made of links; what is read has the digest that model.json names."""
    out = tmp_path / "model"
    train(TrainSettings(settings(methods=("linear-probe",), out=out), folds=0))
    (tmp_path / "linked").mkdir()
    for name in (place.JSON, place.WEIGHTS):
        (tmp_path / "linked" / name).symlink_to(out / name)
    assert directory.load(tmp_path / "linked", "cpu").classes
    (out / place.WEIGHTS).unlink()
    os.mkfifo(out / place.WEIGHTS)
    with pytest.raises(FewposeError, match=r"weights\.safetensors can't be read \(not a regular file\)"):
        directory.load(out, "cpu")


WRONG_KINDS: dict[str, list[object]] = {
    "collection": [5, ["x"], {}, "a\0b"],
    "classes": [5, "abc", [1, 2, 3]],
    "methods": [[5]],
    "class_sizes": [[1]],
    **{name: [5] for name in ("model", "sets", "prompts", "texts", "trials")},
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG_KINDS.items() for value in values])
def test_a_sweep_json_with_entries_of_another_kind_is_refused(sweep: Path, name: str, value: object) -> None:
    content = json_files.read(sweep / "sweep.json")
    json_files.write(sweep / "sweep.json", content | {name: value})
    with pytest.raises(FewposeError, match=f"sweep is not a sweep .*its {name} "):
        read_sweep(sweep)
