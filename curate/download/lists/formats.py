"""How link lists are written: the rows of a text file, a CSV or a parquet file, and what can't be read of them.

A text file has one of three forms:

* a header with a column url and, if it likes, key, label and split, in any order and case, separated by tab, comma or
  semicolon and quoted as in a CSV; other columns are passed over;
* or else, on each line: a URL;
* or a key, a tab or a comma, and a URL, in which commas and spaces are fine. Keys hold no commas, unless a tab follows.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".txt", ".csv", ".tsv", ".parquet")
COLUMNS = ("url", "key", "label", "split")

_BOM = "\ufeff"
_URL = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SPLIT_FILE = re.compile(r"[0-9]+(?:,[0-9]+)*")
_MOST_TEXT = 200  # characters of a line that a problem quotes


class Cause(StrEnum):
    """Why a line, or a file, gave no link."""

    NOT_A_LIST = "not a list"
    UNREADABLE = "unreadable line"
    BAD_LINK = "bad link"
    BAD_KEY = "bad key"
    NO_CLASS = "no class"
    LISTED_TWICE = "listed twice"
    UNKNOWN_POSE = "unknown pose"  # in a split file


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, and where."""

    file: str
    line: int  # from 1; the row of a parquet file; 0 for a whole file
    text: str  # how the line begins
    cause: Cause  # for counting
    detail: str  # for reading: a clause or a sentence without its full stop
    key: str = ""  # where it is known

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.detail}"


class Row(NamedTuple):
    """What a list says of one link; what it doesn't say is ""."""

    line: int
    text: str
    url: str
    key: str = ""
    label: str = ""
    split: str = ""

    def problem(self, file: str, cause: Cause, detail: str) -> Problem:
        return Problem(file, self.line, self.text[:_MOST_TEXT], cause, detail, self.key)


class NotAList(Exception):
    """A file that holds no list at all; the message says why, as a clause."""


def printable(path: Path) -> str:
    """The path for tables and messages; names that are no UTF-8 (Python has them with surrogates) are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def rows(path: Path) -> Iterator[Row | Problem]:
    """Every row of a list that is not empty. What can't be read is a Problem, and the rest goes on."""
    try:
        if path.suffix.lower() == ".parquet":
            yield from _of_parquet(path)
        else:
            yield from _of_text(path, lines(path))
    except NotAList as why:
        yield Problem(printable(path), 0, "", Cause.NOT_A_LIST, str(why))


def lines(path: Path) -> list[str]:
    """The lines of a text file, whatever their ends. Raises NotAList.

    UTF-8, with or without a byte order mark; a line that is not UTF-8 is read as Windows-1252 or else Latin-1.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotAList(f"cannot be opened ({error.strerror})") from error
    if b"\0" in content:
        raise NotAList("is not text, or UTF-16; save it as UTF-8")
    return [_decoded(line) for line in content.splitlines()]


def _decoded(line: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding).removeprefix(_BOM)  # in the middle, too, where files were joined
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")


def _of_text(path: Path, text: list[str]) -> Iterator[Row | Problem]:
    first = next((i for i, line in enumerate(text) if line.strip()), None)
    if first is None:
        raise NotAList("is empty")
    header = _header(text[first])
    if header:
        yield from _of_table(path, text, first + 1, *header)
        return
    for number, line in enumerate(text, start=1):
        if line.strip():
            yield _of_line(path, number, line.strip())


def _of_line(path: Path, number: int, line: str) -> Row | Problem:
    if _URL.match(line):
        return Row(number, line, line, label=path.stem)
    key, _, url = (part.strip() for part in line.partition("\t" if "\t" in line else ","))
    row = Row(number, line, url, key)
    if not url:
        return row.problem(printable(path), Cause.UNREADABLE, "there is no URL after the key")
    if _SPLIT_FILE.fullmatch(url):
        return row.problem(printable(path), Cause.UNREADABLE, "this is a line of a split file; name it with --splits")
    return row


def _header(line: str) -> tuple[list[str], str] | None:
    """Column names in lower case, and what separates them; None for a line that is no header."""
    delimiter = next((d for d in "\t,;" if d in line), ",")
    try:
        fields = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return None
    columns = [field.strip().lower() for field in fields]
    return (columns, delimiter) if "url" in columns else None


def _of_table(path: Path, text: list[str], at: int, columns: list[str], delimiter: str) -> Iterator[Row | Problem]:
    """A quote that is never closed costs its own line alone: reading goes on with the next one."""
    places = {name: columns.index(name) for name in COLUMNS if name in columns}
    # A URL names no class and no key: then the file does, as it does for a list without a header.
    default = "" if {"key", "label"} & set(columns) else path.stem
    while at < len(text):
        if not text[at].strip():
            at += 1
            continue
        fields, taken, wrong = _record((text[i] + "\n" for i in range(at, len(text))), delimiter, len(columns))
        values = {name: fields[place].strip() for name, place in places.items()} if not wrong else {}
        if any("\n" in value for value in values.values()):
            wrong = "a quote is not closed on this line"
        if wrong:
            values, taken = {}, 1
        row = Row(at + 1, text[at], **{"url": "", "label": default, **values})
        yield row.problem(printable(path), Cause.UNREADABLE, wrong) if wrong else row
        at += taken


def _record(text: Iterator[str], delimiter: str, width: int) -> tuple[list[str], int, str]:
    """The fields of the first record, how many lines it has, and what is wrong with it ("" where nothing is)."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        return [], 1, f"this is no CSV ({error})"
    if any(fields[width:]) or len(fields) < width:
        wrong = f"it has {len(fields)} fields where the header has {width}; a URL that holds commas needs quotes"
        return fields, 1, wrong
    return fields, reader.line_num, ""


def _of_parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = {name.lower(): name for name in file.schema_arrow.names}
            columns = [name for name in COLUMNS if name in names]
            if "url" not in columns:
                raise NotAList("has no column url")
            default = "" if {"key", "label"} & set(columns) else path.stem
            number = 0
            for batch in file.iter_batches(columns=[names[name] for name in columns]):
                for record in batch.to_pylist():
                    number += 1
                    values = {name: _text(record[names[name]]) for name in columns}
                    yield Row(number, f"{values.get('key', '')}\t{values['url']}", **{"label": default, **values})
    except (pa.ArrowException, OSError) as error:
        raise NotAList(f"cannot be read as parquet ({str(error).splitlines()[0]})") from error


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
