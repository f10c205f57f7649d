"""What methods say of themselves is true of their classes, and told in the docs and in --help."""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curate.foundation.errors import UsageError
from fewshot import cli, methods
from fewshot.flags import of_methods
from fewshot.methods.description import Description
from fewshot.methods.listed import LISTED
from fewshot.sweeping.settings import OPTIONS, unchosen
from fewshot.task import Task

DOCS = Path(__file__).parents[3] / "docs" / "fewshot.md"


@pytest.mark.parametrize("about", LISTED, ids=lambda about: about.name)
def test_a_description_is_true_of_its_class(about: Description) -> None:
    built = methods.build(about.form, {})
    fields = {field.name for field in dataclasses.fields(built) if field.init}  # type: ignore[arg-type]
    assert callable(built.fit)
    assert set(methods.defaults(about.form)) == fields - ({about.numbered.field} if about.numbered else set())
    assert set(about.options) <= set(OPTIONS)
    for flag in about.flags:
        assert set(of_methods([about.form], flags(**{flag: 1}))[about.name]) <= fields
    if about.numbered:
        assert getattr(built, about.numbered.field) == 2


def flags(**given: Any) -> dict[str, Any]:
    return {"lr": None, "epochs": None, "batch_size": None, "image_only": False} | given


def test_what_a_trial_may_be_set_to_are_fields_of_its_task_that_do_nothing_by_default() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Task)}
    assert {defaults[name] for name in OPTIONS} == {"none"}
    assert unchosen("finetune")["augment"] == "none"
    assert "augment" not in unchosen("linear-probe")


@pytest.mark.parametrize("about", LISTED, ids=lambda about: about.name)
def test_a_method_has_a_row_in_the_docs_that_says_what_it_needs(about: Description) -> None:
    (row,) = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{about.form}` |")]
    needs = row.split("|")[3].strip()
    assert needs == ", ".join(about.needs or ("features",))


def test_flags_set_what_a_method_takes_of_them_and_no_more() -> None:
    asked = flags(lr=0.1, epochs=3, image_only=True)
    assert of_methods(("linear-probe", "lora", "finetune@0.5", "finetune-last2"), asked) == {
        "linear-probe": {},
        "lora": {},
        "finetune": {"lr": 0.1, "epochs": 3, "towers": "image"},
        "finetune-last": {"lr": 0.1, "epochs": 3},
    }


def test_help_names_every_method_and_loads_none() -> None:
    code = "import sys; sys.argv = ['fewshot', 'sweep', '--help']\nfrom fewshot.cli import app\n"
    code += "try:\n    app()\nfinally:\n    assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = " ".join(re.sub("[│ \n]+", " ", done.stdout).split()).replace("- ", "-")  # lines end at hyphens
    for about in LISTED:
        assert f"{about.form} (" in told
    assert "(finetune-last and finetune)" in told
    assert "methods" in inspect.signature(cli.sweep).parameters


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "My Method"}, "can't be called 'My Method'"),
        ({"needs": ("luck",)}, "toy needs 'luck'; there are pixels"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Description(**{"name": "toy", "where": "toy:Toy", "help": "a toy"} | wrong)


def test_activations_are_wanted_as_the_number_and_the_augmentation_say() -> None:
    last, projection = methods.describe("finetune-last2"), methods.describe("proj")
    assert last.activations(2, "none") == {(2, False)}
    assert last.activations(2, "flip") == {(2, False), (2, True)}
    assert last.activations(2, "flip+crop") == set()
    assert projection.activations(0, "none") == {(0, False)}
    assert methods.describe("lora").activations(0, "flip") == set()
