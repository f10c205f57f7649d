"""What `curate pose` says, and when it waits for nobody."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from curate import cli
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.pose import keypoints


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """One picture, of nobody."""
    (tmp_path / "photos/tree").mkdir(parents=True)
    Image.new("RGB", (96, 96), "white").save(tmp_path / "photos/tree/1.png")
    return import_folder(tmp_path / "photos", tmp_path / "c", workers=1).collection


def pose(collection: Collection, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["curate", "pose", str(collection.root), *options])
    with pytest.raises(SystemExit) as stop:
        cli.app()
    return int(stop.value.code or 0)


def test_while_another_command_changes_the_collection_it_is_told_so(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Collection.open(collection.root).locked():
        assert pose(collection, monkeypatch) == 1
    assert f"another command is changing {collection.root}" in " ".join(capsys.readouterr().err.split())
    assert not (collection.root / keypoints.TABLE).exists()


@pytest.mark.slow
def test_it_says_how_many_were_looked_at(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pose(collection, monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 image looked at, 1 of them now: 0 with one person, 0 with several, 1 with nobody" in said
    assert pose(collection, monkeypatch, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"images": 1, "new": 0, "people": {"0": 1}, "unreadable": []}
