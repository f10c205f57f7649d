"""Tables that people bring: CSV, JSON lines and Parquet, read strictly. Every row is a record, or one that is wrong.

A text whose first line names columns is a CSV, separated by tab, comma or semicolon. A row that does not fit its
header, or whose quote is not closed, is wrong, alone: it swallows no other, and reading goes on with the next line.
"""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from curate.foundation import json_files
from curate.foundation.csv_files import original
from curate.foundation.text import shown
from curate.lists.columns import Wanted, find, is_known
from curate.lists.lines import NotAList, read_lines

_DELIMITERS = "\t,;"
_JSON_LINES = (".jsonl", ".ndjson")
_SEPARATOR = re.compile(r'"?sep=([\t,;])"?\s*', re.IGNORECASE)  # how Excel says it, in a line before the header
_COLUMN = re.compile(r"[^\W\d][\w .-]*")  # how a column is called, known to us or not
_REFERENCE = re.compile(r"""["'\s]*(?:[a-z][a-z0-9+.-]*://\S|.+\.\w{2,5}["'\s]*$)""", re.IGNORECASE)  # a link, a file


class Record(NamedTuple):
    """A row: `values` by the names of columns.NAMES, without spaces around them, "" where nothing is said."""

    line: int  # from 1: of a text; the row of a parquet file
    text: str  # how it begins
    values: dict[str, str]
    wrong: str = ""  # why it can't be used, as a clause; `values` holds what is known all the same


class NoHeader(NotAList):
    """A text whose first line names no columns; `lines` are all of them."""

    def __init__(self, lines: list[str]) -> None:
        first = next(line for line in lines if line.strip())
        super().__init__(f"names no columns in its first line ({shown(first.strip())[:60]})")
        self.lines = lines


class _Header(NamedTuple):
    at: int  # which line, from 0
    columns: list[str]
    delimiter: str


def read(path: Path, wanted: Wanted, *, any_encoding: bool = True) -> Iterator[Record]:
    """The rows of a table that are not empty, in their order.

    Raises NotAList where the file is no such table, NoHeader (one of these) where its lines may be a list without
    columns. any_encoding: as `read_lines` has it.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _of_parquet(path, wanted)
    return records(read_lines(path, any_encoding=any_encoding), wanted, suffix)


def records(lines: list[str], wanted: Wanted, suffix: str) -> Iterator[Record]:
    """The same of a text's lines, not all of which may be empty. suffix: of the file's name, in small letters."""
    first = next(i for i, line in enumerate(lines) if line.strip())
    if suffix in _JSON_LINES or lines[first].lstrip().startswith("{"):
        return _of_json_lines(lines, wanted)
    header = _header(lines, first, suffix)
    if header is None:
        raise NoHeader(lines)
    return _of_csv(lines, header, find(header.columns, wanted), wanted.needed[0])


# CSV


def _header(lines: list[str], at: int, suffix: str) -> _Header | None:
    """The line that names the columns: it knows one of ours; of a .csv, also one that looks as if it did."""
    said = _SEPARATOR.fullmatch(lines[at])
    if said and at + 1 < len(lines):
        return _Header(at + 1, _fields(lines[at + 1], said[1]), said[1])
    tried = [(_fields(lines[at], delimiter), delimiter) for delimiter in _DELIMITERS]
    columns, delimiter = max(tried, key=lambda one: (sum(map(is_known, one[0])), len(one[0])))
    if "://" in lines[at]:
        return None
    named = suffix in (".csv", ".tsv") and all(_COLUMN.fullmatch(name) for name in columns if name)
    return _Header(at, columns, delimiter) if named or any(map(is_known, columns)) else None


def _fields(line: str, delimiter: str) -> list[str]:
    """The fields of one line, whatever becomes of its quotes."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _of_csv(lines: list[str], header: _Header, places: dict[str, int], needed: str) -> Iterator[Record]:
    at = header.at + 1
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        fields, taken, wrong = _record(lines, at, header, places[needed])
        values = {name: original(fields[place].strip()) for name, place in places.items() if place < len(fields)}
        if not wrong and any("\n" in value for value in (fields[place] for place in places.values())):
            wrong = _NOT_CLOSED
        if wrong == _NOT_CLOSED:
            values, taken = {}, 1
        yield Record(at + 1, lines[at], {name: values.get(name, "") for name in places}, wrong)
        at += taken


_NOT_CLOSED = "a quote is not closed on this line"


def _record(lines: list[str], at: int, header: _Header, needed: int) -> tuple[list[str], int, str]:
    """The fields of the record that begins here, how many lines it has, and what is wrong with it (else "").

    A field may hold line ends only where none of the lines that it holds could be a row of its own.
    """
    if "\0" in lines[at]:
        return [], 1, "it holds a NUL byte"
    width = len(header.columns)
    reader = csv.reader((f"{lines[i]}\n" for i in range(at, len(lines))), delimiter=header.delimiter, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        return [], 1, f"this is no CSV ({error})"
    taken = reader.line_num
    if any(_may_be_a_row(lines[i], header, needed) for i in range(at + 1, at + taken)):
        return fields, 1, _NOT_CLOSED
    if any(fields[width:]) or len(fields) < width:
        wrong = f"it has {len(fields)} fields where the header has {width}; a text that holds commas needs quotes"
        return fields if len(fields) < width and taken == 1 else [], 1, wrong
    return fields, taken, ""


def _may_be_a_row(line: str, header: _Header, needed: int) -> bool:
    fields = _fields(line, header.delimiter)
    return len(fields) >= len(header.columns) and bool(_REFERENCE.match(fields[needed]))


# JSON lines


def _of_json_lines(lines: list[str], wanted: Wanted) -> Iterator[Record]:
    """An object a line. The first must have the columns that are needed, or else this is no such list."""
    first = next((value for value in map(_object, lines) if isinstance(value, dict)), None)
    if first is None:
        raise NotAList("should hold a JSON object on each line")
    find(list(first), wanted)
    return _of_objects(lines, wanted)


def _of_objects(lines: list[str], wanted: Wanted) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        value = _object(line)
        if not isinstance(value, dict):
            yield Record(number, line, {}, value)
            continue
        try:
            places = find(list(value), wanted)
        except NotAList as why:
            yield Record(number, line, {}, f"it {why}")
            continue
        yield _of_values(number, line, {name: list(value.values())[place] for name, place in places.items()})


def _object(line: str) -> dict[str, Any] | str:
    """The object of a line, or why there is none."""
    try:
        value = json_files.parse(line)
    except json_files.NotJson:
        return "this is no JSON"
    return value if isinstance(value, dict) else "this is no JSON object"


# Parquet


def _of_parquet(path: Path, wanted: Wanted) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for folder in path.parts[:-1]:
        name, equals, _ = folder.partition("=")
        if equals and is_known(name):  # its own rows don't say what the folder does
            raise NotAList(f"is a part of a table that is divided by {name}; write it as one file")
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error
    return _of_batches(path, {name: names[place] for name, place in find(names, wanted).items()})


def _of_batches(path: Path, columns: dict[str, str]) -> Iterator[Record]:
    """columns: what they are called in the file, by our names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(columns.values())):
                for record in batch.to_pylist():
                    number += 1
                    values = {name: record[column] for name, column in columns.items()}
                    yield _of_values(number, "\t".join(map(str, values.values())), values)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> NotAList:
    return NotAList(f"cannot be read as parquet ({next(iter(str(error).splitlines()), type(error).__name__)})")


# Values


def _of_values(line: int, text: str, values: dict[str, object]) -> Record:
    told = {name: _text(value) for name, value in values.items()}
    wrong = next((f"{name} holds no text" for name, value in told.items() if value is None), "")
    return Record(line, text, {name: value or "" for name, value in told.items()}, wrong)


def _text(value: object) -> str | None:
    """A value as text; None of what is no text and no number. Whole numbers among floats are what pandas makes of
    integers where some are missing.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float) else None
