"""Which images a model is tried on, and what is said of the others."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.collection import decisions
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.images.decoding import open_image
from curate.images.transform import Transform
from fewshot.exporting import samples

CLASSES = ("waves", "rings", "bars")  # not in the order of the alphabet
SMALL = Transform(32)


def test_a_folder_gives_pixels_and_places_in_the_classes(photographs: Callable[..., Path]) -> None:
    folder = photographs(bars=3, waves=2)
    found = samples.read(folder, CLASSES, SMALL)
    assert (len(found), found.left_out) == (5, {})
    expected = {
        SMALL.apply(open_image(path.read_bytes()).image).tobytes(): CLASSES.index(path.parent.name)
        for path in folder.glob("*/*.png")
    }
    assert {pixels.tobytes(): label for pixels, label in zip(found.pixels, found.labels, strict=True)} == expected


def test_which_are_chosen_depends_on_content_alone(photographs: Callable[..., Path]) -> None:
    folder = photographs(bars=5, rings=5)
    before = samples.read(folder, CLASSES, SMALL, most=4)
    for number, path in enumerate(sorted(folder.glob("*/*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number}.png"))
    after = samples.read(folder, CLASSES, SMALL, most=4)
    assert len(before) == 4
    np.testing.assert_array_equal(before.pixels, after.pixels)
    np.testing.assert_array_equal(before.labels, after.labels)


def test_copies_count_once(photographs: Callable[..., Path]) -> None:
    folder = photographs(bars=3)
    (folder / "bars" / "copy.png").write_bytes((folder / "bars" / "0.png").read_bytes())
    assert len(samples.read(folder, CLASSES, SMALL)) == 3


def test_what_is_left_out_is_counted_by_its_cause(photographs: Callable[..., Path]) -> None:
    folder = photographs(bars=3, rings=2, cats=2)
    (folder / "bars" / "empty.png").touch()
    (folder / "rings" / "text.png").write_text("no picture")
    (folder / "readme.txt").write_text("of no class")
    found = samples.read(folder, CLASSES, SMALL)
    assert len(found) == 5
    assert found.left_out == {
        "of cats, no class of the model": 2,
        "empty file": 1,
        "not an image": 1,
        "no class": 1,
    }


def test_a_collections_labels_are_those_of_its_ledger(own_collection: Collection) -> None:
    before = samples.read(own_collection.root, CLASSES, SMALL)
    assert np.bincount(before.labels).tolist() == [10, 10, 10]  # the copy counts once
    decisions.relabel(own_collection, ["rings/3.png"], "bars", reason="", who="a test")
    after = samples.read(own_collection.root, CLASSES, SMALL)
    assert np.bincount(after.labels).tolist() == [10, 9, 11]


def test_labels_that_the_model_does_not_know_are_refused(photographs: Callable[..., Path]) -> None:
    folder = photographs(cats=2)
    sentence = f"none of the 2 images in {folder} has a class of the model as its label; it knows bars, rings, waves"
    with pytest.raises(FewposeError, match=re.escape(sentence)):
        samples.read(folder, CLASSES, SMALL)


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "bars" / "cut.png")
    cut = (tmp_path / "bars" / "cut.png").read_bytes()[:40]
    (tmp_path / "bars" / "cut.png").write_bytes(cut)
    with pytest.raises(FewposeError, match=r"none of the 1 images in .* can be read"):
        samples.read(tmp_path, CLASSES, SMALL)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a collection, or a folder with a folder of images per class"):
        samples.read(tmp_path / "nowhere", CLASSES, SMALL)
