"""Contact sheets show the worst first, and say what cannot be shown."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.checks.sheet import MOST, sheet
from curate.collection.directory import Collection
from curate.importing.importer import import_folder

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
CELL = (180, 206)  # pixels of a picture with its writing


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """60 pictures in one class; a, b and c are red, green and blue."""
    folder = tmp_path / "photos" / "tree"
    folder.mkdir(parents=True)
    for name, colour in zip("abc", COLOURS, strict=True):
        Image.new("RGB", (90, 60), colour).save(folder / f"{name}.png")
    for number in range(57):
        Image.new("RGB", (20, 20), (number, 90, 90)).save(folder / f"x{number}.png")
    import_folder(tmp_path / "photos", tmp_path / "collection")
    return Collection.open(tmp_path / "collection")


def rows(**scores: float) -> pd.DataFrame:
    return pd.DataFrame({"key": [f"tree/{name}.png" for name in scores], "score": list(scores.values())})


def middles(path: Path, count: int) -> list[tuple[int, ...]]:
    with Image.open(path) as page:
        pixels = np.asarray(page)
    return [tuple(pixels[CELL[1] * (n // 10) + 90, CELL[0] * (n % 10) + 90].tolist()) for n in range(count)]


def test_the_worst_is_first(collection: Collection, tmp_path: Path) -> None:
    path = tmp_path / "sheets" / "drawing.png"
    assert sheet(collection, rows(a=0.5, b=0.9, c=0.7), path) == 3
    assert middles(path, 3) == [COLOURS[1], COLOURS[2], COLOURS[0]]
    assert [p.name for p in path.parent.iterdir()] == ["drawing.png"]


def test_equal_scores_are_in_the_order_of_keys_whatever_that_of_the_rows(
    collection: Collection, tmp_path: Path
) -> None:
    sheet(collection, rows(c=1, a=1, b=1), tmp_path / "one.png")
    sheet(collection, rows(b=1, c=1, a=1), tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    assert middles(tmp_path / "one.png", 3) == COLOURS


def test_it_has_no_more_than_fit(collection: Collection, tmp_path: Path) -> None:
    path = tmp_path / "all.png"
    assert sheet(collection, collection.images()[["key"]].assign(score=0.5), path) == MOST
    with Image.open(path) as page:
        assert page.size == (10 * CELL[0], 5 * CELL[1])


def test_nothing_flagged_makes_no_file(collection: Collection, tmp_path: Path) -> None:
    assert sheet(collection, rows(), tmp_path / "none.png") == 0
    assert not (tmp_path / "none.png").exists()


def test_a_picture_that_is_gone_leaves_its_place(collection: Collection, tmp_path: Path) -> None:
    (collection.root / "images" / "tree" / "b.png").unlink()
    path = tmp_path / "gone.png"
    assert sheet(collection, rows(a=0.5, b=0.9), path) == 2
    assert middles(path, 2)[1] == COLOURS[0]
    assert middles(path, 2)[0] not in COLOURS
