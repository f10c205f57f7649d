"""`synth generate` as a user types it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.foundation.errors import UsageError
from synth.cli import app
from synth.generate.command import _size
from synth.generate.run import foresee
from synth.generate.settings import Settings, Wanted
from tests.synth.generate.a_collection import collection, files

pytestmark = pytest.mark.slow

Said = tuple[int, str, str]
Synth = Callable[..., Said]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return collection(tmp_path)


@pytest.fixture
def synth(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Synth:
    def run(*arguments: object) -> Said:
        """Exit code, stdout, stderr."""
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["synth", "generate", *map(str, arguments)])
        try:
            app()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_help_has_examples_and_says_what_a_cluster_needs(synth: Synth) -> None:
    code, out, _ = synth("--help")
    said = " ".join(out.split())
    assert code == 0
    assert "Example: synth generate runs/yoga --model stabilityai/sdxl-turbo" in said
    assert "Example: synth generate runs/yoga --model augment --from-draw split=0,shots=6" in said
    assert "it must be the same path on all machines" in said


@pytest.mark.slow
def test_it_says_what_was_made_and_what_comes_next(synth: Synth, root: Path) -> None:
    options = ("--model", "mannequin", "--per-class", "2", "--size", "64", "--workers", "1")
    code, out, err = synth(root, *options, "--classes", "tree")
    assert code == 0
    assert out.startswith(f"{root}: 2 images made in ")
    assert "images/s, loading included)" in out
    assert "next: synth accept" in out
    assert "generating: 2/2, " in err
    assert " left" in err
    code, out, _ = synth(root, *options)
    assert code == 0
    assert "2 images made" in out
    assert "; 2 were there already" in out
    assert [line.split() for line in out.splitlines() if line.startswith(("plank", "tree"))] == [
        ["plank", "2", "0", "0"],
        ["tree", "0", "2", "0"],
    ]


def test_a_dry_run_shows_the_plan_and_three_prompts_and_makes_nothing(
    synth: Synth, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synth.generate.making.weights", lambda _: "f00d")
    before = files(root)
    code, out, _ = synth(root, "--model", "a/model", "--per-class", "5", "--dry-run")
    assert code == 0
    assert out.startswith(f"{root}: 10 images to make, of 10")
    prompts = [line for line in out.splitlines() if "synthetic-" in line]
    assert len(prompts) == 3
    assert all("pose" in line.lower() for line in prompts)
    assert files(root) == before


def test_other_files_in_the_place_of_an_image_are_named(synth: Synth, root: Path) -> None:
    options = (root, "--model", "mannequin", "--per-class", "1", "--size", "64", "--workers", "1")
    settings = Settings("mannequin", width=64, height=64)
    for job in foresee(root, settings, Wanted(per_class=1)).jobs:
        (root / "images" / job.key).write_bytes(b"text")
    code, out, _ = synth(*options)
    assert code == 0
    assert "not in the image table: tree/synthetic-" in out
    assert "move it away, and synth generate makes it again" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "swan"), "the collection has no swan; it has plank, tree"),
        (("--size", "big"), "--size must be such as 512 or 768x512"),
        (("--size", "511"), "--width must be a whole number, at least 1 and a multiple of 8, not 511"),
        (("--per-class", "0"), "--per-class must be a whole number, at least 1"),
        (("--workers", "-1"), "--workers must be a whole number, at least 0"),
        (("--batch", "0"), "--batch must be a whole number, at least 1"),
        (("--from-draw", "shots=x"), "--from-draw"),
        (("--controlnet", "x/y"), "--model mannequin takes no ControlNet"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    synth: Synth, root: Path, options: tuple[str, ...], message: str
) -> None:
    before = files(root)
    code, out, err = synth(root, "--model", "mannequin", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    after = files(root)
    after.pop(".generate.lock", "")
    assert after == before


def test_a_collection_that_is_none(synth: Synth, tmp_path: Path) -> None:
    code, _, err = synth(tmp_path, "--model", "mannequin")
    assert code == 2
    assert "is not a collection" in err


def test_sizes() -> None:
    assert _size("") == (None, None)
    assert _size("512") == (512, 512)
    assert _size("768x512") == (768, 512)
    for wrong in ("512x", "x512", "1x2x3", "-8", "512 x 512"):
        with pytest.raises(UsageError, match="--size"):
            _size(wrong)
