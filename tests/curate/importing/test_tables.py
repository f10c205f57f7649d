"""Groups follow from the pictures that the image table names, and are looked for only where these are others."""

import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from curate.collection import groups
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.images.signatures import Signatures
from curate.importing.tables import frame, in_threads, with_groups


def photo(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(size=(80, 100, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


CONTENTS = {"a": jpeg(photo(1)), "b": jpeg(photo(2)), "c": jpeg(ImageOps.mirror(photo(1)), 60), "d": jpeg(photo(3))}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "yoga")


@pytest.fixture
def signatures(collection: Collection) -> Iterator[Signatures]:
    with Signatures(collection) as known:
        yield known


def content_id(name: str) -> str:
    return hashlib.sha256(CONTENTS[name]).hexdigest()


def images(collection: Collection, *names: str) -> pd.DataFrame:
    """A row without a group for each of these pictures, whose files lie in the collection."""
    rows = []
    for name in names:
        path = collection.path(f"images/{name}.jpg")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(CONTENTS[name])
        texts = dict.fromkeys(COLUMNS, "")
        numbers = {column: 1 for column, kind in COLUMNS.items() if kind == "int64"}
        rows.append(texts | numbers | {"key": name, "id": content_id(name), "file": f"images/{name}.jpg"})
    return frame(rows, COLUMNS)


def found(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["key"], table["group"], strict=True))


def alone(*names: str) -> dict[str, str]:
    return {name: content_id(name) for name in names}


PAIR = min(content_id("a"), content_id("c"))


@pytest.mark.parametrize("columns", [COLUMNS, REJECT_COLUMNS])
def test_a_table_without_rows_has_the_columns_and_kinds_of_one_with_rows(
    columns: dict[str, str], collection: Collection
) -> None:
    table = frame([], columns)
    row = {name: "x" if kind == "str" else 7 for name, kind in columns.items()}
    assert table.dtypes.equals(frame([row], columns).dtypes)
    assert list(table) == list(columns)
    assert table.dtypes.equals((collection.images() if columns is COLUMNS else collection.rejects()).dtypes)


def test_pictures_get_their_groups(collection: Collection, signatures: Signatures) -> None:
    table = with_groups(collection, images(collection, "a", "b", "c"), signatures, 2)
    assert found(table) == alone("b") | {"a": PAIR, "c": PAIR}


def test_the_same_pictures_keep_their_groups_without_a_look(
    collection: Collection, signatures: Signatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_groups(collection, images(collection, "a", "b", "c"), signatures, 2)
    collection.write(table, collection.rejects())
    monkeypatch.setattr(groups, "assign", None)
    more = images(collection, "a", "b", "c", "c").assign(key=["a", "b", "c", "again"])
    assert found(with_groups(collection, more, signatures, 2)) == alone("b") | dict.fromkeys(["a", "c", "again"], PAIR)


def test_groups_are_looked_for_anew_when_a_picture_joins_or_leaves(
    collection: Collection, signatures: Signatures
) -> None:
    def again(*names: str) -> dict[str, str]:
        table = with_groups(collection, images(collection, *names), signatures, 2)
        collection.write(table, collection.rejects())
        return found(table)

    assert again("a", "b") == alone("a", "b")
    assert again("a", "b", "c", "d") == alone("b", "d") | {"a": PAIR, "c": PAIR}
    assert again("b", "c") == alone("b", "c")
    assert again() == {}
    assert again("a") == alone("a")


def test_a_table_from_before_there_were_groups_gets_them(collection: Collection, signatures: Signatures) -> None:
    table = images(collection, "a", "c")
    collection.write(table, collection.rejects())
    assert found(with_groups(collection, table, signatures, 2)) == {"a": PAIR, "c": PAIR}


def test_lost_signatures_are_made_again_and_of_a_lost_file_only_exact_copies_are_known(
    collection: Collection, signatures: Signatures
) -> None:
    table = images(collection, "a", "c", "d", "d")
    collection.path("images/d.jpg").unlink()
    assert found(with_groups(collection, table, signatures, 2)) == {"a": PAIR, "c": PAIR} | alone("d")
    assert content_id("a") in signatures
    assert content_id("d") not in signatures


@pytest.mark.slow
def test_threads_give_results_in_order_and_stop_at_the_first_failure() -> None:
    assert list(in_threads(lambda number: number * 2, range(50), 4)) == list(range(0, 100, 2))
    begun = []

    def fail(number: int) -> None:
        begun.append(number)
        time.sleep(0.001)  # else all may be done before the first result is taken
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(in_threads(fail, range(100_000), 2))
    assert len(begun) < 100_000
