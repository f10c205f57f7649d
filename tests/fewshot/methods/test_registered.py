"""Methods of other packages: registered by an entry point, used like ours, and one sentence where one can't be."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from curate.sweeps.records import read_predictions, read_sweep
from fewshot import methods
from fewshot.trained import directory

Run = Callable[..., tuple[int, str, str]]

# A method that tunes the image tower, under class vectors that begin as the class means, in two files: what `--help`
# and a plan read of it, and what it does.
ABOUT = """
from fewshot.methods.description import Description

NUDGE = Description(
    "nudge",
    "toy_nudge.method:Nudge",
    "the image tower, a little, under the class means",
    needs=("pixels",),
    tuned=True,
    cost=50,
    options=("augment", "class_weights"),
    flags=("lr", "epochs"),
)
"""
METHOD = """
from dataclasses import dataclass

from fewshot.training.heads import FreeHead
from fewshot.methods.nearest_class_mean import NearestClassMean
from fewshot.training.working_copies import working_copy
from fewshot.task import Draw, Fitted, Task
from fewshot.training.loop import Optimisation
from fewshot.training.tuning import Tuning


@dataclass(frozen=True)
class Nudge:
    lr: float = 1e-5
    epochs: int = 1

    def fit(self, draw: Draw, task: Task) -> Fitted:
        copy = working_copy(task.clip)
        copy.restore()
        head = FreeHead(len(task.classes), draw.images.features().shape[1], task.clip.device)
        tuning = Tuning(task.clip, copy, head, Optimisation(self.lr, 0.0, self.epochs))
        means = NearestClassMean().fit(draw, task).classifier().head
        return tuning.fit(draw, task, lambda: head.set(**means.state_dict()))
"""


def installed(site: Path, name: str, target: str, package: str = "toy") -> None:
    """What pip leaves of a package that registers a method, beside its code."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fewpose.methods]\n{name} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, for this process and those that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return folder


@pytest.mark.slow
def test_a_tuned_method_of_another_package_is_swept_reported_trained_and_predicted_with(
    site: Path, run: Run, collection: Collection, tmp_path: Path
) -> None:
    (site / "toy_nudge").mkdir()
    (site / "toy_nudge" / "__init__.py").write_text(ABOUT)
    (site / "toy_nudge" / "method.py").write_text(METHOD)
    installed(site, "nudge", "toy_nudge:NUDGE")

    grid = "--methods nudge,nudge@0.5 --shots 3 --splits 2 --model tiny/random --device cpu --augment flip --lr 1e-4"
    sweep = ("sweep", collection.root, "--out", tmp_path / "sweep", *grid.split())
    code, out, errors = run(*sweep, "--workers", 2)
    assert code == 0, out + errors
    found = read_sweep(tmp_path / "sweep")
    assert len(found.records) == 4
    assert found.settings["method_settings"]["nudge"] == {
        "lr": 1e-4,
        "epochs": 1,
        "augment": "flip",
        "class_weights": "none",
    }
    assert found.settings["method_versions"] == {"nudge": 1, "nudge@0.5": 1}
    code, _, errors = run(*sweep[:-1], "1e-3")
    assert code == 2
    assert "holds a sweep of nudge with lr = 0.0001, not 0.001; choose another --out, or give --lr 0.0001" in errors

    code, out, _ = run("report", tmp_path / "sweep")
    assert code == 0
    assert "nudge@0.5" in out

    model = tmp_path / "model"
    words = ("--method", "nudge", "--shots", 3, "--split", 1, "--folds", 0, "--device", "cpu")
    assert run("train", tmp_path / "sweep", "--out", model, *words)[0] == 0
    assert directory.load(model, "cpu").about.settings["lr"] == 1e-4
    (trial,) = [each for each in found.planned if (each.method, each.split) == ("nudge", 1)]
    said = read_predictions(tmp_path / "sweep", trial)
    photos = [collection.root / "images" / key for key in said.keys]
    code, out, _ = run("predict", model, *photos, "--device", "cpu", "--json")
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(photos)
    assert np.isfinite(said.logits).all()


def test_a_name_that_is_ours_is_refused(site: Path) -> None:
    installed(site, "linear-probe", "toy_other:PROBE", "impostor")
    with pytest.raises(
        UsageError, match="several methods called 'linear-probe', of fewpose and of the package impostor; remove that"
    ):
        methods.parse("linear-probe")
    assert methods.parse("finetune").base == "finetune"  # nobody else is hindered


def test_a_name_that_two_packages_have_is_refused(site: Path) -> None:
    installed(site, "twin", "toy_one:TWIN", "one")
    installed(site, "twin", "toy_two:TWIN", "two")
    with pytest.raises(UsageError, match=r"several methods called 'twin', of the package .* and of the package"):
        methods.parse("twin")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", r"can't be loaded \(ModuleNotFoundError: No module named 'no_such_module'\)"),
        ("TOY = 3", "can't be used: toy_broken:TOY is not a fewshot.methods.description.Description of that name"),
        (ABOUT.replace("NUDGE", "TOY"), "can't be used: toy_broken:TOY is not a .* of that name"),
        (
            ABOUT.replace("NUDGE", "TOY").replace('"nudge"', '"broken"').replace("toy_nudge.method", "no_such_method"),
            r"can't be loaded \(ModuleNotFoundError: No module named 'no_such_method'\); update or remove",
        ),
    ],
)
def test_one_that_cannot_be_used_is_one_sentence_that_names_its_package(
    site: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    (site / "toy_broken.py").write_text(code)
    monkeypatch.delitem(__import__("sys").modules, "toy_broken", raising=False)
    methods._loaded.cache_clear()
    installed(site, "broken", "toy_broken:TOY", "brittle")
    with pytest.raises(UsageError, match=f"the method 'broken' of the package brittle {said}"):
        methods.build("broken", {})


def test_registered_methods_are_named_beside_ours(site: Path) -> None:
    installed(site, "gadget", "toy_gadget:GADGET", "gadgets")
    with pytest.raises(UsageError, match=r"there is no method 'magic'; there are zero-shot, .*, finetune, gadget"):
        methods.parse("magic")
