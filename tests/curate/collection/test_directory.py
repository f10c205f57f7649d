"""The collection on disk: opened only when it is one, written whole, the same bytes for the same tables."""

import contextlib
import hashlib
import json
import random
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from curate.collection.directory import COLUMNS, FORMAT, REJECT_COLUMNS, Collection
from curate.foundation.errors import FewposeError, UsageError


def images(*keys: str) -> pd.DataFrame:
    rows = [{name: 1 if kind == "int64" else f"{name} of {key}" for name, kind in COLUMNS.items()} for key in keys]
    ids = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(key=list(keys), id=ids)


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


def test_what_is_no_collection_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=r"is not a collection .*; make one with: curate import"):
            Collection.open(place)


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", "not json", '{"format": "new"}', '{"format": 1, "checksum": "00000000"}']
)
def test_a_damaged_mark_of_a_collection_is_written_again_as_is_said(content: str | None, tmp_path: Path) -> None:
    root = tmp_path / "an odd;name"
    collection = Collection.create(root)
    collection.write(images("a/1"), rejects("b/2"))
    (root / "collection.json").unlink()
    if content is not None:
        (root / "collection.json").write_text(content)
    for opening in (Collection.open, Collection.create):
        with pytest.raises(FewposeError, match=r"collection\.json is .*write it again with: ") as caught:
            opening(root)
    subprocess.run(str(caught.value).partition("with: ")[2], shell=True, check=True)  # noqa: S602
    assert list(Collection.open(root).images()["key"]) == ["a/1"]
    assert list(Collection.create(root).rejects()["key"]) == ["b/2"]


def test_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(FewposeError, match="pip install -U fewpose") as caught:
        Collection.open(tmp_path)
    assert not isinstance(caught.value, UsageError)


def test_a_damaged_table_is_said_with_the_way_out(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    (collection.root / "images.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FewposeError, match=r"images\.parquet is damaged .*put back a copy of it, or delete it"):
        collection.images()


@pytest.mark.parametrize("name", ["images.parquet", "rejects.parquet"])
def test_no_flipped_bit_of_a_table_is_another_value(name: str, tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    collection.write(images("a/1", "b/2"), rejects("c/3"))
    path = collection.root / name
    whole, chance = path.read_bytes(), random.Random(7)
    read = collection.images if name.startswith("images") else collection.rejects
    said = read()
    for _ in range(400):
        place = chance.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        with contextlib.suppress(FewposeError):
            assert read().equals(said), place


def test_the_one_table_is_not_taken_for_the_other(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    collection.write(images("a/1"), rejects("b/2"))
    first, second = (collection.root / name for name in ("images.parquet", "rejects.parquet"))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    for read in (collection.images, collection.rejects):
        with pytest.raises(FewposeError, match=r"is damaged .it lacks"):
            read()


def test_an_image_table_that_was_deleted_is_missed(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c")
    collection.write(images("a/1"), rejects("b/2"))
    (collection.root / "images.parquet").unlink()
    with pytest.raises(FewposeError, match=r"images\.parquet is missing .*; give the commands again"):
        collection.images()
    assert len(collection.images(missing_ok=True)) == 0  # what writes it anew can go on


def test_a_table_of_rejects_that_was_deleted_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collection = Collection.create(tmp_path / "c")
    collection.write(images("a/1"), rejects("b/2"))
    (collection.root / "rejects.parquet").unlink()
    assert len(collection.rejects()) == 0
    assert "rejects.parquet is missing: what was rejected is not known; give" in capsys.readouterr().err


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
        assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [".lock", "collection.json"]


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
