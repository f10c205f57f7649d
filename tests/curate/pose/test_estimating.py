"""Keypoints of a collection: what is new is looked at, nothing twice, and the same whoever looks."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.foundation.cache import RowCache
from curate.importing.importer import import_folder
from curate.pose import estimating, keypoints
from curate.pose.blazepose import BlazePose
from curate.pose.estimating import Estimated, estimate
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings
from tests.curate.pose.conftest import Rendered

pytestmark = pytest.mark.slow

HERE = WorkerSettings(workers=1)
SETTINGS = PoseSettings()


@pytest.fixture
def collection(tmp_path: Path, rendered_people: Path) -> Collection:
    import_folder(rendered_people, tmp_path / "collection", workers=1)
    return Collection.open(tmp_path / "collection")


def looked_at(collection: Collection, asked: WorkerSettings = HERE, settings: PoseSettings = SETTINGS) -> Estimated:
    return estimate(collection, collection.images(), settings, asked)


def table(collection: Collection) -> bytes:
    return (collection.root / keypoints.TABLE).read_bytes()


def test_every_image_has_the_people_that_the_estimator_finds(
    collection: Collection, rendered: list[Rendered], blazepose: BlazePose
) -> None:
    found = looked_at(collection)
    assert found.new == len(rendered)
    ids = collection.images().set_index("key")["id"]
    for one in rendered:
        (person,) = found.keypoints.people(ids[one.name])
        (wanted,) = blazepose.people(one.image)
        assert np.allclose(person.joints, wanted.joints, atol=1e-3)
        assert person.score == pytest.approx(wanted.score)
    read = keypoints.read(collection)
    pd.testing.assert_frame_equal(read.table, found.keypoints.table)
    assert (read.joints(list(ids)) == found.keypoints.joints(list(ids))).all()
    assert (read.counts() == 1).all()


def test_what_is_known_is_not_looked_at_again(
    collection: Collection, tmp_path: Path, rendered_people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at(collection)
    before = table(collection)
    assert looked_at(collection).new == 0
    assert table(collection) == before
    more = tmp_path / "more" / "tree"
    more.mkdir(parents=True)
    Image.new("RGB", (64, 64), "white").save(more / "nobody.png")
    import_folder(tmp_path / "more", collection.root, workers=1)
    found = looked_at(collection)
    assert found.new == 1
    nobody = collection.images().set_index("key")["id"]["tree/nobody.png"]
    assert found.keypoints.people(nobody) == []
    assert found.keypoints.counts()[nobody] == 0
    assert np.isnan(found.keypoints.joints([nobody])).all()
    assert looked_at(collection).new == 0  # nobody is an answer


def test_an_interruption_loses_one_shard_and_the_table_is_that_of_an_undisturbed_run(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(collection.root, tmp_path / "undisturbed")
    looked_at(Collection.open(tmp_path / "undisturbed"))
    monkeypatch.setattr(estimating, "SHARD", 3)
    add = RowCache.add
    kept: list[Sequence[str]] = []

    def interrupted(cache: RowCache, ids: Sequence[str], rows: np.ndarray) -> None:
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(ids)
        add(cache, ids, rows)

    monkeypatch.setattr(RowCache, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        looked_at(collection)
    monkeypatch.setattr(RowCache, "add", add)
    assert looked_at(collection).new == len(collection.images()) - 6
    assert table(collection) == table(Collection.open(tmp_path / "undisturbed"))


def test_files_that_are_open_do_not_become_more_with_the_images(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may have 1,024 files open on most systems; each shard of what was found is one of them."""
    monkeypatch.setattr(estimating, "SHARD", 1)
    monkeypatch.setattr(caching, "SHARD", 4)
    add, shards = RowCache.add, []

    def counted(cache: RowCache, ids: Sequence[str], rows: np.ndarray) -> None:
        add(cache, ids, rows)
        shards.append(len(list(cache.folder.glob("*.npy"))))

    monkeypatch.setattr(RowCache, "add", counted)
    looked_at(collection)
    images = len(collection.images())
    assert len(shards) > images
    assert max(shards) <= images // 4 + 4  # the merged ones, and four small ones


def test_two_workers_find_what_one_finds(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at(collection)
    alone = table(collection)
    (collection.root / keypoints.TABLE).unlink()
    monkeypatch.setattr(estimating, "BLOCK", 3)
    monkeypatch.setattr(estimating, "_look", none_left(estimating._look))
    looked_at(collection, WorkerSettings(workers=2))
    assert table(collection) == alone


def none_left(look: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Says that this process had nothing to look at: the workers did it all."""

    def checked(collection: Collection, images: pd.DataFrame, *rest: object) -> list[str]:
        assert images.empty
        return look(collection, images, *rest)

    return checked


def test_another_estimator_replaces_the_table_when_it_has_seen_all(collection: Collection) -> None:
    looked_at(collection)
    second = looked_at(collection, settings=PoseSettings(second_pass=True))
    assert second.new == len(collection.images())
    assert set(keypoints.read(collection).table["digest"]) == set(second.keypoints.table["digest"])


def test_what_cannot_be_read_is_named_and_has_no_row(collection: Collection) -> None:
    images = collection.images()
    gone, changed = collection.path(images["file"][0]), collection.path(images["file"][1])
    gone.unlink()
    changed.write_bytes(b"something else")
    found = looked_at(collection)
    assert found.new == len(images) - 2
    assert [said.partition(":")[0] for said in found.unreadable] == [*images["key"][:2]]
    assert "changed since import" in found.unreadable[1]
    with pytest.raises(KeyError):
        found.keypoints.people(str(images["id"][0]))


def test_a_large_jpeg_is_decoded_smaller_and_its_joints_stay_where_they_are(
    collection: Collection, tmp_path: Path, rendered: list[Rendered], blazepose: BlazePose
) -> None:
    large = rendered[0].image.resize((3200, 3200), Image.Resampling.LANCZOS)
    (tmp_path / "large" / "tree").mkdir(parents=True)
    large.save(tmp_path / "large" / "tree" / "large.jpg", quality=95)
    import_folder(tmp_path / "large", collection.root, workers=1)
    row = collection.images().set_index("key").loc["tree/large.jpg"]
    (person,) = looked_at(collection).keypoints.people(str(row["id"]))
    (whole,) = blazepose.people(large)
    size = np.hypot(*(whole.box[2:] - whole.box[:2]))
    assert np.hypot(*(person.joints[:, :2] - whole.joints[:, :2]).T).mean() < 0.005 * size


def test_progress_is_of_all_images(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    looked_at(collection)
    assert f"finding people: {len(collection.images())}/{len(collection.images())}" in capsys.readouterr().err
