"""A picture that stands where it cannot stand twice is found on both sides, or in train."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from curate.checks.rules import labels
from curate.checks.rules.rule import Inputs, Rule
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder

pytestmark = pytest.mark.slow


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(60, 200, (4, 4, 3)).astype(np.uint8)).resize((320, 240))
    draw = ImageDraw.Draw(image)
    for x, y, *colour in random.integers(0, 240, (12, 5)).tolist():
        draw.line((x, y, 300 - y, 200 - x // 2), fill=tuple(colour), width=14)
    return image.resize(size)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    rows = [("path", "label", "split")]
    for key, seed, size, label, split in (
        ("a", 1, (320, 240), "tree", "train"),
        ("b", 1, (320, 240), "plank", "train"),  # the same bytes as a
        ("c", 1, (200, 150), "cobra", ""),
        ("d", 2, (320, 240), "tree", "train"),
        ("e", 2, (240, 180), "tree", "test"),
        ("f", 2, (200, 150), "tree", ""),
        ("g", 3, (320, 240), "plank", "train"),
        ("h", 3, (320, 240), "plank", "test"),  # the same bytes as g
        ("i", 4, (320, 240), "plank", "train"),
        ("j", 4, (200, 150), "plank", "train"),
        ("k", 5, (320, 240), "tree", "test"),
        ("l", 5, (200, 150), "plank", "test"),
    ):
        photo(seed, size).save(tmp_path / f"{key}.jpg", "JPEG", quality=90)
        rows.append((f"{key}.jpg", label, split))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    import_folder(tmp_path / "list.csv", tmp_path / "yoga")
    return Collection.open(tmp_path / "yoga")


def run(rule: Rule[Any], collection: Collection, images: pd.DataFrame | None = None) -> pd.DataFrame:
    with Signatures(collection) as signatures:
        looked_at = collection.images() if images is None else images
        found = rule.run(Inputs(collection, looked_at, signatures, None, "none", 1), rule.parameters)
    return found.assign(key=found["key"].str[0]).set_index("key").sort_index()


def test_a_picture_under_several_labels_is_found_under_each(collection: Collection) -> None:
    found = run(labels.TWO_LABELS, collection)
    assert list(found.index) == ["a", "b", "c", "k", "l"]
    assert found["score"][["a", "b"]].tolist() == [1.0, 1.0]
    assert found["score"][["c", "k", "l"]].between(0.95, 0.999999).all()
    assert found["detail"]["a"] == "the same bytes as b.jpg (plank)"
    assert found["detail"]["c"] == "copy of a.jpg (tree), b.jpg (plank)"
    ids = collection.images().set_index("key")["id"]
    assert found["other"]["k"] == ids["l.jpg"]


def test_a_label_that_a_person_corrected_is_no_conflict(collection: Collection) -> None:
    images = collection.images()
    images["label"] = "tree"
    assert run(labels.TWO_LABELS, collection, images).empty


def test_a_training_image_that_is_also_a_test_image_is_found(collection: Collection) -> None:
    found = run(labels.OFFICIAL_LEAK, collection)
    assert list(found.index) == ["d", "g"]
    assert found["score"]["g"] == 1.0
    assert found["score"]["d"] > 0.95
    assert found["detail"].to_dict() == {"d": "copy of e.jpg (tree)", "g": "the same bytes as h.jpg (plank)"}


def test_without_an_official_split_nothing_leaks(collection: Collection) -> None:
    assert run(labels.OFFICIAL_LEAK, collection, collection.images().assign(official_split="")).empty


def test_of_many_copies_some_are_named(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"photos/{'tree' if number else 'plank'}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(1).save(path, "JPEG", quality=50 + 7 * number)
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    collection = Collection.open(tmp_path / "yoga")
    with Signatures(collection) as signatures:
        found = labels.TWO_LABELS.run(Inputs(collection, collection.images(), signatures, None, "", 1), {})
    detail = found.set_index("key")["detail"]["plank/0.jpg"]
    assert detail == "copy of tree/1.jpg (tree), tree/2.jpg (tree), tree/3.jpg (tree) and 2 more"
