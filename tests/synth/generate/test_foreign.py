"""Generating into a collection from a stranger: no link in it is followed, for writing, deleting or reading."""

import shutil
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.workers.settings import WorkerSettings
from synth.generate import control, refused
from synth.generate.run import generate
from synth.generate.settings import Resources, Settings, Wanted
from tests.synth.generate.a_collection import collection

ONE = Resources(workers=WorkerSettings(workers=1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return collection(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/notes.txt").write_text("a line of mine\nand a last one without its end")
    return tmp_path / "home"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [".generating", ".generate.lock", "images", "images/tree", "cache/signatures"])
def test_images_are_made_through_no_link(root: Path, home: Path, name: str) -> None:
    place = root / name
    if place.is_dir():
        shutil.copytree(place, home / "folder")
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(home / "folder" if (home / "folder").exists() else home / "new")
    before = snapshot(home)
    with pytest.raises(FewposeError, match=f"{name} is a symbolic link"):
        generate(root, Settings("mannequin", width=64, height=64), Wanted(("tree",), per_class=1), ONE)
    assert snapshot(home) == before
    assert sorted(path.name for path in home.iterdir()) in (["notes.txt"], ["folder", "notes.txt"])


def test_refusals_are_noted_through_no_link(root: Path, home: Path) -> None:
    (root / refused.FILE).symlink_to(home / "notes.txt")
    before = snapshot(home)
    for work in (lambda: refused.add(Collection(root), ["tree/1.png"], "abc"), lambda: refused.read(Collection(root))):
        with pytest.raises(FewposeError, match=r"synthetic_refused\.jsonl is a symbolic link"):
            work()
    assert snapshot(home) == before


def test_keypoints_are_read_through_no_link(root: Path, home: Path) -> None:
    (root / control.FILE).symlink_to(home / "notes.txt")
    with pytest.raises(FewposeError, match=r"keypoints\.jsonl is a symbolic link") as said:
        control.stored(Collection(root))
    assert "a line of mine" not in str(said.value)
