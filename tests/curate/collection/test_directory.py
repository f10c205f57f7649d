"""The collection on disk: opened only when it is one, written whole, the same bytes for the same tables."""

import json
from pathlib import Path

import pandas as pd
import pytest

from curate.collection.directory import COLUMNS, FORMAT, REJECT_COLUMNS, Collection
from curate.foundation.errors import FewposeError, UsageError


def images(*keys: str) -> pd.DataFrame:
    rows = [{name: 1 if kind == "int64" else f"{name} of {key}" for name, kind in COLUMNS.items()} for key in keys]
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(key=list(keys))


def rejects(*keys: str) -> pd.DataFrame:
    rows = [{"key": key, "cause": "truncated", "detail": key, "file": ""} for key in keys]
    return pd.DataFrame(rows, columns=list(REJECT_COLUMNS))


def test_a_new_collection_has_empty_tables_of_the_right_types(tmp_path: Path) -> None:
    Collection.create(tmp_path / "a/new one")
    opened = Collection.open(tmp_path / "a/new one")
    assert {name: str(kind) for name, kind in opened.images().dtypes.items()} == COLUMNS
    assert list(opened.rejects().columns) == list(REJECT_COLUMNS)


def test_equal_tables_are_equal_bytes_whatever_the_order(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    written = []
    for order in (("a/1", "b/2", "c/3"), ("c/3", "a/1", "b/2")):
        collection.write(images(*order), rejects(*order))
        written.append(
            ((collection.root / "images.parquet").read_bytes(), (collection.root / "rejects.parquet").read_bytes())
        )
    assert written[0] == written[1]
    assert list(collection.images()["key"]) == ["a/1", "b/2", "c/3"]
    assert collection.images().equals(images("a/1", "b/2", "c/3").astype(COLUMNS))


def test_rejects_with_one_key_have_an_order_too(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    several = [rejects("a").assign(detail=str(n)) for n in range(40)]
    collection.write(images(), pd.concat(several))
    first = (collection.root / "rejects.parquet").read_bytes()
    collection.write(images(), pd.concat(several[::-1]))
    assert (collection.root / "rejects.parquet").read_bytes() == first


@pytest.mark.parametrize("content", [None, "", "{}", "[]", "not json", '{"format": "new"}'])
def test_what_is_no_collection_is_refused_with_the_way_out(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "collection.json").write_text(content)
    with pytest.raises(UsageError, match="curate import"):
        Collection.open(tmp_path)


def test_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(FewposeError, match="pip install -U fewpose") as caught:
        Collection.open(tmp_path)
    assert not isinstance(caught.value, UsageError)


def test_a_damaged_table_is_said_with_the_way_out(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    (collection.root / "images.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FewposeError, match=r"images\.parquet is damaged"):
        collection.images()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a collection"):
        Collection.create(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a collection"):
        Collection.create(tmp_path / "file")


def test_a_collection_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/.writing-abc.json").touch()
    with Collection.create(tmp_path / "c").locked():
        assert [path.name for path in (tmp_path / "c").iterdir()] == ["collection.json"]


def test_the_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    with (
        collection.locked(),
        pytest.raises(FewposeError, match="another command"),
        Collection.open(collection.root).locked(),
    ):
        pass
    with collection.locked():
        pass


def test_a_table_from_before_a_column_existed_is_read(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    images("a/1").drop(columns=["official_split", "frames"]).to_parquet(collection.root / "images.parquet")
    row = collection.images().iloc[0]
    assert (row["official_split"], row["frames"]) == ("", 0)
