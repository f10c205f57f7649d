"""A CSV of ours: harmless in a spreadsheet, and the same when it is read again."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.foundation import csv_files
from curate.foundation.text import is_seen

FORMULAS = ("=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "'=1", "''=1", "=")
PLAIN = ("tree/a=b.jpg", "-0.5", "+1e-05", "-3", "tree", "'tis", "a,b", 'a "b"', "don't", "")

texts = st.text() | st.text(st.sampled_from("='\"\\u+-1 \x1b\n,"), max_size=8)


@pytest.mark.parametrize("value", FORMULAS)
def test_a_spreadsheet_takes_no_text_for_a_formula(value: str) -> None:
    cell = str(csv_files.cell(value))
    assert cell[0] in "'\""
    assert csv_files.original(cell) == value


@pytest.mark.parametrize("value", PLAIN)
def test_numbers_and_other_texts_stay_as_they_are(value: str) -> None:
    assert csv_files.cell(value) == value
    assert csv_files.original(value) == value


def test_what_is_no_text_stays_what_it_is() -> None:
    assert [csv_files.cell(value) for value in (-0.5, 3, None)] == [-0.5, 3, None]


def test_what_cannot_be_seen_is_spelt_out() -> None:
    assert csv_files.cell("a\x1b[2J\n\u202eb") == '"a\\u001b[2J\\n\\u202eb"'


@given(st.lists(st.lists(texts, min_size=1, max_size=4), max_size=4))
@example([['"\\u001b"']])
@example([['"\\"\\\\u001b\\""']])
def test_what_is_written_is_what_is_read(rows: list[list[str]]) -> None:
    written = csv_files.text(rows)
    assert written.count("\n") == len(rows)  # a row a line
    assert is_seen(written.replace("\n", ""))
    cells = list(csv.reader(io.StringIO(written, newline=""), strict=True))
    assert [[csv_files.original(cell) for cell in row] for row in cells] == rows


@given(st.lists(texts, min_size=2, max_size=2, unique=True))
def test_two_texts_are_two_cells(values: list[str]) -> None:
    assert csv_files.cell(values[0]) != csv_files.cell(values[1])
