"""`fewshot train` at the terminal: what is trained from a collection, and from a sweep of one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from fewshot.cli import commands
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory

pytestmark = pytest.mark.slow

TINY = ("--model", "tiny/random", "--device", "cpu", "--folds", "2")


def run(*words: object) -> str:
    done = CliRunner().invoke(commands, ["train", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
def test_it_says_what_it_trained_how_good_it_is_and_what_comes_next(collection: Collection, tmp_path: Path) -> None:
    out = tmp_path / "model"
    said = run(collection.root, "--out", out, *TINY)
    held = directory.read(out).measured["held_back"]
    assert f"{out}: linear-probe of tiny/random, 3 classes, 31 training images" in said
    assert f"accuracy on images held back in turn: {100 * held['accuracy']:.1f} % [" in said
    assert re.search(r"below a probability of [01]\.\d+ it answers: none of these", said)
    assert f"next: fewshot predict {out} PHOTO.jpg" in said
    assert "was there already" in run(collection.root, "--out", out, *TINY)


@pytest.mark.slow
def test_flags_reach_the_method(collection: Collection, tmp_path: Path) -> None:
    words = ("--method", "finetune", "--epochs", 1, "--lr", 1e-4, "--image-only", "--augment", "flip", "--fit", "pad")
    run(collection.root, "--out", tmp_path / "model", *TINY, *words, "--set", "filtered", "--prompt", "{} here",
        "--classes", "bars,waves", "--seed", 4, "--shots", 3, "--split", 2)  # fmt: skip
    about = directory.read(tmp_path / "model")
    assert about.settings == {"epochs": 1, "lr": 1e-4, "towers": "image", "augment": "flip"} | about.settings
    assert about.transform.fit == "pad"
    assert about.classes == ("bars", "waves")
    assert about.texts == (("bars here",), ("waves here",))
    told = about.trained_on
    assert (told["set"], told["shots"], told["split"], told["seed"], told["images"]) == ("filtered", 3, 2, 4, 6)


@pytest.mark.slow
def test_of_a_sweep_all_is_as_it_was_measured(settings: Callable[..., SweepSettings], tmp_path: Path) -> None:
    asked = settings(
        methods=("nearest-class-mean",), prompts=("short",), classes=("bars", "rings"), shots=(2,), fit="pad"
    )
    run_sweep(asked)
    told = json.loads(run(asked.out, "--out", tmp_path / "model", "--folds", 2, "--device", "cpu", "--json"))
    assert told["classes"] == ["bars", "rings"]
    assert told["texts"] == [["Yoga pose bars"], ["Yoga pose rings"]]
    assert (told["method"], told["model"], told["transform"]["fit"]) == ("nearest-class-mean", "tiny/random", "pad")
    assert told["trained_on"]["images"] == 21


@pytest.mark.slow
def test_descriptions_are_those_of_a_file_or_of_the_sweep(
    settings: Callable[..., SweepSettings], collection: Collection, tmp_path: Path
) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("bars: [lifting, bending]\nwaves: lying down\n")
    flags = ("--prompt", "posture", "--descriptions", words, "--method", "zero-shot", "--folds", 0)
    run(collection.root, "--out", tmp_path / "model", "--model", "tiny/random", "--device", "cpu", *flags)
    own = directory.read(tmp_path / "model").texts
    assert own == (
        ("a photo of a person lifting", "a photo of a person bending"),
        ("a photo of a person rings",),
        ("a photo of a person lying down",),
    )
    described = {"bars": ("lifting", "bending"), "waves": ("lying down",)}
    asked = settings(methods=("zero-shot",), prompts=("posture",), descriptions=described, splits=1)
    run_sweep(asked)
    run(asked.out, "--out", tmp_path / "again", "--folds", 0, "--device", "cpu")
    assert directory.read(tmp_path / "again").texts == own
    with pytest.raises(UsageError, match="--descriptions: the sweep decides that"):
        run(asked.out, "--out", tmp_path / "other", "--descriptions", words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say which to train, --method zero-shot or linear-probe"),
        (("--method", "finetune"), "--method finetune: the sweep has zero-shot, linear-probe"),
        (("--method", "linear-probe", "--set", "filtered"), "--set filtered: the sweep has unfiltered"),
        (
            ("--method", "linear-probe", "--lr", "1"),
            "--lr: the sweep decides that; to have it otherwise, train on its collection",
        ),
    ],
)
def test_what_a_sweep_does_not_have_is_bad_usage(
    settings: Callable[..., SweepSettings], tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    asked = settings(splits=1, shots=(2,))
    run_sweep(asked)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        run(asked.out, "--out", tmp_path / "model", *words)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--method", "magic"), "there is no method 'magic'"),
        (("--set", "best"), "there is no training set 'best'"),
        (("--folds", "1"), "--folds must be 2 or more, or 0 for none"),
        (("--shots", "50"), "50 training images a class are asked for"),
        (("--classes", "bars,lotus"), "the collection has no lotus"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(
    collection: Collection, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        run(collection.root, "--out", tmp_path / "model", *TINY, *words)
