"""Link lists: their rows, and what can't be read of them.

A list has one of these forms:

* a table (CSV, JSON lines, Parquet) with a column url and, if it likes, key, label and split, or what else these are
  usually called (curate/lists/columns.py);
* a text without a header. On each line stands a URL;
* or a key, a tab or a comma, and a URL, in which commas and spaces are fine. Keys hold no commas, unless a tab follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from curate.lists import plain, tables
from curate.lists.columns import Wanted
from curate.lists.lines import NotAList, printable

_WANTED = Wanted(("url",), ("key", "label", "split"))
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


def rows(path: Path) -> Iterator[Row | Problem]:
    """Every row of a list that is not empty. What can't be read is a Problem, and the rest goes on."""
    try:
        yield from _of_table(path)
    except tables.NoHeader as text:
        yield from _of_text(path, text.lines)
    except NotAList as why:
        yield Problem(printable(path), 0, "", Cause.NOT_A_LIST, str(why))


def _of_table(path: Path) -> Iterator[Row | Problem]:
    for record in tables.read(path, _WANTED):
        # A URL names no class and no key: then the file does, as it does for a list without a header.
        default = "" if {"key", "label"} & record.values.keys() else path.stem
        row = Row(record.line, record.text, **{"url": "", "label": default, **record.values})
        yield row.problem(printable(path), Cause.UNREADABLE, record.wrong) if record.wrong else row


def _of_text(path: Path, lines: list[str]) -> Iterator[Row | Problem]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        url, key, wrong = plain.of_line(line, path.suffix.lower())
        row = Row(number, line.strip(), url, key, "" if key else path.stem)
        if wrong or not url:
            yield row.problem(printable(path), Cause.UNREADABLE, wrong or "there is no URL after the key")
        else:
            yield row
