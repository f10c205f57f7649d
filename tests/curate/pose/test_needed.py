"""Keypoints for those who need them: what is there is taken, what is missing is found, and what cannot be is said."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.importing.importer import import_folder
from curate.pose import keypoints, weights
from curate.pose.estimating import estimate
from curate.pose.needed import keypoints_of
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings

pytestmark = pytest.mark.slow

HERE = WorkerSettings(workers=1)


@pytest.fixture
def collection(tmp_path: Path, rendered_people: Path) -> Collection:
    for file in sorted(rendered_people.glob("*/*_0000.jpg"))[:3]:
        (tmp_path / "photos" / file.parent.name).mkdir(parents=True)
        shutil.copy(file, tmp_path / "photos" / file.parent.name)
    import_folder(tmp_path / "photos", tmp_path / "collection", workers=1)
    return Collection.open(tmp_path / "collection")


def add(collection: Collection, tmp_path: Path) -> str:
    """One more image; its id."""
    (tmp_path / "more" / "tree").mkdir(parents=True)
    Image.new("RGB", (64, 64), "white").save(tmp_path / "more" / "tree" / "new.png")
    import_folder(tmp_path / "more", collection.root, workers=1)
    return str(collection.images().set_index("key")["id"]["tree/new.png"])


def test_what_is_missing_is_found(collection: Collection, tmp_path: Path) -> None:
    first = keypoints_of(collection, collection.images(), HERE)
    assert first.ids() == set(collection.images()["id"])
    new = add(collection, tmp_path)
    assert keypoints_of(collection, collection.images(), HERE).ids() == first.ids() | {new}


def test_what_another_estimator_found_is_taken_and_what_it_did_not_see_is_said(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate(collection, collection.images(), PoseSettings(second_pass=True), HERE)
    before = keypoints.read(collection).table
    assert keypoints_of(collection, collection.images(), HERE).table.equals(before)
    capsys.readouterr()
    new = add(collection, tmp_path)
    assert new not in keypoints_of(collection, collection.images(), HERE).ids()
    said = " ".join(capsys.readouterr().err.split())
    assert "nobody was looked for in 1 image, such as tree/new.png" in said
    assert f"give curate pose {collection.root} with those" in said
    monkeypatch.setattr(weights, "_files_of_package", dict)  # no estimator at all, but a table
    assert keypoints_of(collection, collection.images(), HERE).table.equals(before)


def test_a_collection_without_its_pictures_has_no_keypoints(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(collection.root / "images")
    assert keypoints_of(collection, collection.images(), HERE).ids() == set()
    assert "3 images cannot be read, such as chair/chair_0000.jpg: " in " ".join(capsys.readouterr().err.split())


def test_without_an_estimator_and_a_table_there_is_nothing(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_files_of_package", dict)
    with pytest.raises(FewposeError, match="no weights of BlazePose"):
        keypoints_of(collection, collection.images(), HERE)
