"""What a sweep was run with stays what it was: records tell it whole, and a wider grid may not change it."""

import dataclasses
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curate.collection.directory import Collection
from curate.foundation import atomic, json_files, resources
from curate.foundation.errors import FewposeError, UsageError
from curate.models import clip_models
from curate.sweeps.records import FORMAT, read_sweep, trial_file
from fewshot import methods
from fewshot.explaining.hardest import explain_sweep
from fewshot.methods import linear_probe
from fewshot.methods.finetune import Finetune
from fewshot.methods.linear_probe import LinearProbe
from fewshot.reporting import write_report
from fewshot.sweeping import engines
from fewshot.sweeping import plan as planning
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained.settings import TrainSettings
from fewshot.trained.source import settings_of
from fewshot.trained.train import train

Build = Callable[..., SweepSettings]
TUNING = {"finetune": {"epochs": 1, "lr": 1e-4}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tiny: clip_models.ClipModel) -> None:
    """Loading a model has tests of its own."""
    monkeypatch.setattr(clip_models, "load", lambda name, **options: tiny)


@pytest.fixture(scope="module")
def many(
    tmp_path_factory: pytest.TempPathFactory, make_collection: Callable[[Path, dict[str, int]], Collection]
) -> Collection:
    """Eight classes, of which little is learned from one image each: there are mistakes to explain."""
    return make_collection(tmp_path_factory.mktemp("many") / "collection", dict.fromkeys("abcdefgh", 6))


@pytest.fixture
def swept(settings: Build, many: Collection) -> SweepSettings:
    """A small sweep of two methods, finetune by the recipe `paper` but for two settings."""
    asked = settings(collection=many.root, methods=("linear-probe", "finetune"), shots=(1,), splits=1, recipes=TUNING)
    run_sweep(asked)
    return asked


@dataclass(frozen=True)
class LaterProbe(LinearProbe):
    """The probe of a later release, whose default is another."""

    strengths: tuple[float, ...] = (0.001,)


def recipe_gets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **keys: Any) -> None:
    """A later data/recipes.yaml, in which `paper` has more keys."""
    recipes = yaml.safe_load(resources.path("recipes.yaml").read_text())
    later = tmp_path / "recipes.yaml"
    later.write_text(yaml.safe_dump(recipes | {"paper": recipes["paper"] | keys}))
    find = resources.path
    monkeypatch.setattr(resources, "path", lambda name: later if name == "recipes.yaml" else find(name))


def made_older(sweep: Path, number: int) -> None:
    """Leave in a sweep what formats 1 and 2 held of it.

    Of a method's settings those that a recipe, a flag or a file had given, here those of `paper`; no recipe's name nor
    the version of a method; in format 1 no keys of the training images beside the predictions.
    """

    def older(settings: dict[str, Any], method: str) -> dict[str, Any]:
        paper = yaml.safe_load(resources.path("recipes.yaml").read_text())["paper"]
        return {name: settings[name] for name in paper} if method == "finetune" else {}

    told = json_files.read(sweep / "sweep.json")
    del told["recipes"], told["method_versions"]
    told["method_settings"] = {name: older(own, name) for name, own in told["method_settings"].items()}
    for record in read_sweep(sweep).records:
        file = trial_file(sweep, record.trial, ".json")
        fields = json_files.read(file)
        del fields["recipe"], fields["method_version"]
        fields["settings"] = older(fields["settings"], record.trial.method)
        if number == 1:
            fields["predictions_sha256"] = _without_training_keys(trial_file(sweep, record.trial, ".npz"))
        atomic.write_json(file, fields | {"format": number})
    atomic.write_json(sweep / "sweep.json", told | {"format": number})


def _without_training_keys(npz: Path) -> str:
    import hashlib

    with np.load(npz) as arrays:
        kept = {name: arrays[name] for name in ("logits", "labels", "keys")}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    npz.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def test_a_sweep_and_its_records_tell_all_settings_and_the_recipe(swept: SweepSettings) -> None:
    found = read_sweep(swept.out)
    assert found.settings["format"] == FORMAT == 3
    probe = {"strengths": [3.2, 10, 32, 100, 320], "powers": [1, 0.5], "folds": 5, "class_weights": "none"}
    tuned = {field.name: field.default for field in dataclasses.fields(Finetune)}
    tuned |= {"lr": 1e-4, "epochs": 1, "augment": "none", "class_weights": "none"}
    assert found.settings["method_settings"] == {"linear-probe": probe, "finetune": tuned}
    assert found.settings["recipes"] == {"linear-probe": "", "finetune": "paper"}
    assert {r.trial.method: r.settings for r in found.records} == found.settings["method_settings"]
    assert {r.trial.method: r.recipe for r in found.records} == found.settings["recipes"]


def test_a_later_default_of_a_method_is_refused_with_both_values(
    swept: SweepSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (swept.out / "sweep.json").read_bytes()
    monkeypatch.setattr(linear_probe, "LinearProbe", LaterProbe)
    with pytest.raises(UsageError) as refused:
        run_sweep(swept.replaced(splits=2))
    old = "[3.2, 10.0, 32.0, 100.0, 320.0]"
    assert str(refused.value) == (
        f"{swept.out} holds a sweep of linear-probe with strengths = {old}, not [0.001]; choose another --out, "
        f'or give --config FILE with "methods: {{linear-probe: {{strengths: {old}}}}}" to keep the old'
    )
    assert (swept.out / "sweep.json").read_bytes() == before
    # What it says will do, does.
    kept = swept.recipes | {"linear-probe": {"strengths": (3.2, 10.0, 32.0, 100.0, 320.0)}}
    assert run_sweep(swept.replaced(splits=2, recipes=kept)).done == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipes": {"finetune": {"epochs": 1, "lr": 0.5}}}, "lr = 0.0001, not 0.5; .* or give --lr 0.0001 to keep"),
        ({"recipes": {}}, "lr = 0.0001, not 1e-05 and epochs = 1, not 5; .* or give --lr 0.0001 --epochs 1 to keep"),
        ({"augment": "flip"}, "augment = none, not flip; .* --augment none to keep"),
        (
            {"class_weights": "balanced", "methods": ("finetune",)},
            "class_weights = none, not balanced; .*--class-weights",
        ),
        (
            {"recipe": "lite0"},
            "schedule = constant, not cosine and towers = both, not image and start = text, not probe",
        ),
    ],
)
def test_another_setting_is_refused_with_both_values_and_what_to_do(
    swept: SweepSettings, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=f"holds a sweep of finetune with .*{said}"):
        run_sweep(swept.replaced(**changes))


def test_a_setting_that_one_side_has_not_makes_another_sweep(
    swept: SweepSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = dataclasses.make_dataclass("Later", [("warmth", int, 3)], bases=(LinearProbe,), frozen=True)
    monkeypatch.setattr(linear_probe, "LinearProbe", later)
    with pytest.raises(UsageError, match=r"linear-probe with warmth = not there, not 3; choose another --out$"):
        run_sweep(swept)


def test_two_versions_of_a_method_share_no_sweep(swept: SweepSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {record.method_version for record in read_sweep(swept.out).records} == {1}
    later = dataclasses.replace(methods.describe("linear-probe"), version=2)
    monkeypatch.setitem(methods._OURS, "linear-probe", later)
    with pytest.raises(UsageError, match="holds a sweep of linear-probe in its version 1, not 2, the version here"):
        run_sweep(swept.replaced(splits=2))
    again = settings_of(swept.out)
    with pytest.raises(FewposeError, match="the sweep ran version 1 of linear-probe, and here is version 2"):
        planning.make(again)
    assert planning.make(again.replaced(methods=("finetune",))).trials


@pytest.mark.slow
def test_a_later_recipe_changes_nothing_of_a_sweep_that_was_run(
    swept: SweepSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe_gets(monkeypatch, tmp_path, batch_size=2)
    monkeypatch.setattr(linear_probe, "LinearProbe", LaterProbe)
    assert swept.method_settings("finetune")["batch_size"] == 2  # asked for anew
    again = settings_of(swept.out)
    assert again.method_settings("finetune")["batch_size"] == 0
    assert again.method_settings("linear-probe")["strengths"] == (3.2, 10.0, 32.0, 100.0, 320.0)
    assert again.resolved("finetune").recipe == "paper"

    one = again.replaced(methods=("finetune",), out=tmp_path / "model")
    about = train(TrainSettings(one, shots=1, folds=0)).about
    assert about.settings["batch_size"] == 0
    trial = next(record for record in read_sweep(swept.out).records if record.trial.method == "finetune")
    measured = about.measured["test"]["accuracy"]
    said = read_said(swept.out, trial.trial)
    assert measured == pytest.approx(said, abs=1e-4)

    shown = explain_sweep(swept.out, device="cpu")
    assert shown.agreed == shown.tested > 0
    with pytest.raises(UsageError, match="finetune with batch_size = 0, not 2"):
        run_sweep(swept.replaced(methods=("finetune",)))


def read_said(sweep: Path, trial: Any) -> float:
    from curate.sweeps.records import read_predictions

    said = read_predictions(sweep, trial)
    return float((said.logits.argmax(axis=1) == said.labels).mean())


# Sweeps of older versions


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_an_older_sweep_is_reported_trained_from_and_explained(
    swept: SweepSettings, tmp_path: Path, number: int
) -> None:
    made_older(swept.out, number)
    found = read_sweep(swept.out)
    assert len(found.records) == 2
    assert "epochs = 1" in write_report(swept.out).html.read_text()
    again = settings_of(swept.out)
    for method in swept.grid.methods:
        assert again.method_settings(method) == swept.method_settings(method)
    about = train(TrainSettings(again.replaced(methods=("finetune",), out=tmp_path / "m"), 1, folds=0)).about
    assert about.settings["lr"] == 1e-4
    shown = explain_sweep(swept.out, device="cpu")
    assert shown.agreed == shown.tested > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_an_older_sweep_goes_on_and_it_is_said_what_is_not_known_of_it(
    swept: SweepSettings, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    made_older(swept.out, number)
    wide = swept.replaced(splits=2, methods=("zero-shot", *swept.grid.methods))
    assert run_sweep(wide).done == 6
    told = " ".join(capsys.readouterr().err.split())
    assert "was begun by an older fewpose" in told
    assert "whether the defaults of linear-probe and finetune were the same then is not known" in told
    found = read_sweep(swept.out)
    assert found.settings["format"] == 3
    assert found.settings["assumed"] == ["linear-probe", "finetune"]
    files = {
        record.trial: json.loads(trial_file(swept.out, record.trial, ".json").read_text()) for record in found.records
    }
    assert {trial.split: each["format"] for trial, each in files.items() if trial.method == "finetune"} == {
        0: number,
        1: 3,
    }
    # Said once; from now on all is known, or assumed, and compared.
    assert run_sweep(wide.replaced(splits=3)).done == 9
    assert "older fewpose" not in capsys.readouterr().err
    assert read_sweep(swept.out).settings["assumed"] == ["linear-probe", "finetune"]


@pytest.mark.parametrize(
    "changes",
    [{"recipes": {"finetune": {"epochs": 1, "lr": 0.5}}}, {"class_weights": "balanced"}, {"recipe": "lite0"}],
)
def test_of_an_older_sweep_what_is_known_must_be_the_same(swept: SweepSettings, changes: dict[str, Any]) -> None:
    made_older(swept.out, 2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError, match=re.escape("choose another --out, or")):
        patch.setattr(engines, "run", lambda *arguments: pytest.fail("it went on"))
        run_sweep(swept.replaced(**changes))
