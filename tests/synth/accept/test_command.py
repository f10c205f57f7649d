"""`synth accept`: what it prints, and how it fails."""

import json
import sys

import pytest

from curate.collection import decisions
from curate.collection.directory import Collection
from synth.cli import app
from tests.synth.accept.conftest import add_synthetic
from tests.synth.accept.test_accept import IMAGES

pytestmark = pytest.mark.slow


def synth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["synth", *map(str, arguments)])
    try:
        app()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_acceptance_is_printed_by_class_and_by_reason(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_synthetic(collection, IMAGES)
    decisions.drop(collection, ["tree/synthetic-0-2.png"], reason="three legs")
    sheet = collection.root.parent / "sheet.png"
    code, out, _ = synth(monkeypatch, capsys, "accept", collection.root, "--model", "none", "--sheet", sheet)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "plank 2 1 50% synthetic_duplicate 1" in lines
    assert "all 5 1 20%" in lines
    assert "synthetic_copy 1 copy of a photograph" in lines
    assert "dropped by a person 1 dropped by a person" in lines
    assert any(line.startswith("not run: synthetic_far: it needs image features") for line in lines)
    assert "nothing says whether these show their pose: plank 2, tree 3" in lines
    assert f"{collection.root}: 1 of 5 synthetic images accepted" in lines
    assert sheet.exists()


def test_json_says_the_same(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_synthetic(collection, IMAGES)
    code, out, _ = synth(monkeypatch, capsys, "accept", collection.root, "--model", "none", "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["images"], said["accepted"], said["rate"]) == (5, 2, 0.4)
    assert said["classes"]["plank"] == {
        "images": 2, "accepted": 1, "rate": 0.5, "reasons": {"synthetic_duplicate": 1}
    }  # fmt: skip
    assert said["reasons"]["synthetic_copy"] == 1
    assert said["rules"]["synthetic_copy"]["flagged"] == 1


def test_mistakes_get_a_sentence(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = synth(monkeypatch, capsys, "accept", collection.root)
    assert code == 1
    assert "has no synthetic images yet" in err
    add_synthetic(collection, IMAGES)
    wrong = {
        ("--sheet", "sheet.gif"): "must end in .png",
        ("--model", "no-such"): "is not known",
    }
    for options, why in wrong.items():
        code, _, err = synth(monkeypatch, capsys, "accept", collection.root, *options)
        assert code == 2, options
        assert why in err
        assert "Traceback" not in err
    assert not (collection.root / "acceptance.parquet").exists()
