"""What is measured of a picture is kept, and made again where it is lost or damaged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.checks.measures import measurements as module
from curate.checks.measures.measurements import NAMES, measure, measurements
from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.importing.importer import import_folder


def noise(seed: int, size: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    (tmp_path / "photos/tree").mkdir(parents=True)
    for seed in range(5):
        noise(seed).save(tmp_path / f"photos/tree/{seed}.png")
    noise(0).save(tmp_path / "photos/tree/0-again.png")
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    return Collection.open(tmp_path / "yoga")


def parts(collection: Collection) -> list[Path]:
    return sorted(collection.cache("measurements").rglob("*.npy"))


def test_every_picture_gets_its_numbers_in_the_order_of_the_table(collection: Collection) -> None:
    images = collection.images().iloc[::-1]
    found = measurements(collection, images, 2)
    assert list(found.columns) == list(NAMES)
    assert found.index.equals(images.index)
    assert found.notna().all(axis=None)
    for key, (_, row) in zip(images["key"], found.iterrows(), strict=True):
        assert row.to_dict() == pytest.approx(measure(noise(int(Path(key).stem[0]))))


def test_what_was_measured_is_not_decoded_again(collection: Collection) -> None:
    first = measurements(collection, collection.images(), 1)
    for path in (collection.root / "images").rglob("*.png"):
        path.unlink()
    pd.testing.assert_frame_equal(measurements(collection, collection.images(), 1), first)


def test_an_interrupted_run_keeps_whole_parts(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "SHARD", 2)
    images = collection.images().drop_duplicates("id")
    measurements(collection, images.iloc[:4], 1)
    kept = {path: path.stat().st_mtime_ns for path in parts(collection)}
    assert len(kept) == 2
    measurements(collection, images, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(parts(collection)) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY and no more"])
def test_a_damaged_part_is_made_again(collection: Collection, damage: bytes) -> None:
    first = measurements(collection, collection.images(), 1)
    [part] = parts(collection)
    part.write_bytes(damage)
    pd.testing.assert_frame_equal(measurements(collection, collection.images(), 1), first)


@pytest.mark.slow
def test_no_flipped_bit_becomes_a_number(collection: Collection) -> None:
    first = measurements(collection, collection.images(), 1)
    [part] = parts(collection)
    content = part.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        part.write_bytes(damaged)
        pd.testing.assert_frame_equal(measurements(collection, collection.images(), 1), first)


def test_what_was_kept_before_a_measure_was_added_is_made_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measurements(collection, collection.images(), 1)
    with monkeypatch.context() as before:
        before.setattr(module, "NAMES", NAMES[1:])
        assert list(measurements(collection, collection.images(), 1).columns) == list(NAMES[1:])
    for part in parts(collection):
        if part.parent == module.cache_folder(collection):
            part.unlink()  # all that is left is from before
    pd.testing.assert_frame_equal(measurements(collection, collection.images(), 1), first)


def test_what_is_gone_or_changed_has_no_numbers_and_is_named(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    (collection.root / "images/tree/1.png").unlink()
    noise(9).save(collection.root / "images/tree/2.png")
    found = measurements(collection, collection.images(), 1).set_index(collection.images()["key"])
    assert list(found.index[found.isna().all(axis=1)]) == ["tree/1.png", "tree/2.png"]
    said = capsys.readouterr().err
    assert "2 images cannot be measured, such as tree/1.png: cannot be opened" in said


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2), (17, 2000)])
def test_a_picture_of_any_size_has_finite_numbers(size: tuple[int, int]) -> None:
    assert np.isfinite(list(measure(Image.new("RGB", size, "teal")).values())).all()


def test_numbers_are_of_the_picture_and_hardly_of_its_size() -> None:
    large = noise(1, 48).resize((1536, 1536), Image.Resampling.BICUBIC)
    small = large.resize((384, 384), Image.Resampling.BOX)
    assert measure(large) == pytest.approx(measure(small), rel=0.05)
