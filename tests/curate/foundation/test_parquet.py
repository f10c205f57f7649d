"""A table is read back as it was written, or refused in one sentence; no flipped bit passes for another value."""

import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from curate.foundation import parquet
from curate.foundation.errors import FewposeError

COLUMNS = {"key": "str", "width": "int64", "score": "float64", "flagged": "bool"}
TABLE = pd.DataFrame(
    {
        "key": [f"Ärm's/{number}.jpg" for number in range(60)],
        "width": range(60),
        "score": np.linspace(0, 1, 60),
        "flagged": [number % 3 == 0 for number in range(60)],
    }
).astype(COLUMNS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    parquet.write(tmp_path / "t.parquet", TABLE)
    return tmp_path / "t.parquet"


def read(path: Path) -> pd.DataFrame:
    return parquet.read(path, COLUMNS, "make it again")


def refused(path: Path) -> str:
    with pytest.raises(FewposeError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path} is damaged (")
    assert said.endswith("); make it again")
    assert "\n" not in said
    return said


def test_a_table_is_read_as_it_was_written(path: Path) -> None:
    assert read(path).equals(TABLE)
    assert {name: str(kind) for name, kind in read(path).dtypes.items()} == COLUMNS


def test_equal_tables_are_equal_bytes_with_one_digest(path: Path, tmp_path: Path) -> None:
    digest = parquet.write(tmp_path / "other.parquet", TABLE.copy())
    assert (tmp_path / "other.parquet").read_bytes() == path.read_bytes()
    assert parquet.read(path, COLUMNS, "", digest=digest).equals(TABLE)


def test_an_empty_table_keeps_its_types(tmp_path: Path) -> None:
    parquet.write(tmp_path / "t.parquet", TABLE.iloc[:0])
    assert {name: str(kind) for name, kind in read(tmp_path / "t.parquet").dtypes.items()} == COLUMNS


def test_any_other_program_reads_it(path: Path) -> None:
    assert pd.read_parquet(path).equals(TABLE)
    assert pq.read_table(path, page_checksum_verification=True).num_rows == 60


@pytest.mark.slow
def test_no_flipped_bit_passes(path: Path) -> None:
    """Every byte: where the digest's name is damaged, nothing else is, and the values are right."""
    whole = path.read_bytes()
    passed = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            found = read(path)
        except FewposeError as error:
            assert "is damaged (" in str(error)
            continue
        assert found.equals(TABLE), place
        passed += 1
    assert passed <= len(b"fewpose-sha256")


def test_where_the_name_of_the_digest_is_gone_pages_have_checksums(path: Path) -> None:
    whole = path.read_bytes().replace(b"fewpose-sha256", b"fewpose-sha257")
    place = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(0).dictionary_page_offset + 100
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert "CRC" in refused(path)


@pytest.mark.parametrize("end", [0, 1, 4, 100, -1, -8, -200])
def test_a_file_that_is_cut_off_is_refused(path: Path, end: int) -> None:
    path.write_bytes(path.read_bytes()[:end])
    refused(path)


@pytest.mark.parametrize("content", [b"PAR1 and no more", b"PAR1" + b"\xff" * 400 + b"PAR1", b"no Parquet" * 50])
def test_a_file_that_is_none_of_ours_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)


def test_garbage_in_older_files_is_one_sentence_whatever_the_reader_raises(path: Path) -> None:
    TABLE.to_parquet(path, index=False)
    whole, chance = path.read_bytes(), random.Random(5)
    outcomes = set()
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(4):
            content[chance.randrange(len(whole) * 2 // 3, len(whole))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            read(path)
            outcomes.add("read")
        except FewposeError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_a_table_from_before_digests_is_read(path: Path) -> None:
    TABLE.to_parquet(path, index=False)
    assert read(path).equals(TABLE)


def test_another_table_in_its_place_is_refused(path: Path) -> None:
    other = parquet.write(path, TABLE.iloc[:10])
    assert len(read(path)) == 10
    first = parquet.write(path, TABLE)
    assert first != other
    with pytest.raises(FewposeError, match="another table than the one that was written there"):
        parquet.read(path, COLUMNS, "make it again", digest=other)
    TABLE.to_parquet(path, index=False)
    with pytest.raises(FewposeError, match="another table"):
        parquet.read(path, COLUMNS, "make it again", digest=first)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (TABLE.drop(columns="width"), "it lacks width"),
        (TABLE.assign(width="wide"), "its column width does not hold whole numbers"),
        (TABLE.assign(width=0.5), "its column width does not hold whole numbers"),
        (TABLE.assign(key=7), "its column key does not hold text"),
        (TABLE.assign(key=TABLE["key"].where(TABLE["width"] > 0)), "its column key does not hold text"),
        (TABLE.assign(key=[b"bytes"] * 60), "its column key does not hold text"),
        (TABLE.assign(flagged="yes"), "its column flagged does not hold true or false"),
        (TABLE.assign(score=TABLE["flagged"]), "its column score does not hold numbers"),
    ],
)
def test_columns_have_their_types(path: Path, other: pd.DataFrame, why: str) -> None:
    other.to_parquet(path, index=False)
    assert why in refused(path)


def test_a_column_that_an_older_file_may_lack(path: Path) -> None:
    TABLE.drop(columns="width").to_parquet(path, index=False)
    assert "width" not in parquet.read(path, COLUMNS, "", optional={"width"})


def test_what_cannot_be_opened_is_not_called_damaged(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.parquet")
    path.unlink()
    path.mkdir()
    with pytest.raises(FewposeError, match=r"t\.parquet cannot be read \(Is a directory\)"):
        read(path)


def test_a_label_that_is_called_like_the_digest_is_a_label(path: Path) -> None:
    parquet.write(path, TABLE.assign(key="fewpose-sha256"))
    assert (read(path)["key"] == "fewpose-sha256").all()


def test_large_columns_are_read_alike(tmp_path: Path) -> None:
    table = pd.concat([TABLE] * 500, ignore_index=True)
    parquet.write(tmp_path / "t.parquet", table)
    assert read(tmp_path / "t.parquet").equals(table)
    assert pq.ParquetFile(io.BytesIO((tmp_path / "t.parquet").read_bytes())).metadata.num_rows == len(table)
