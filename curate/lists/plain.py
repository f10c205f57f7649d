"""A line of a list without columns: a link or a file, or a key and a link. What looks like a table's row is refused."""

import csv
import re
from typing import NamedTuple

from curate.foundation.text import shown

_LINK = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # that some programs write, and that end no line here
_SPLIT_FILE = re.compile(r"[0-9]+(?:,[0-9]+)*")
# A link that ends like a picture, and after it words, as a label is. No link of Yoga-82 does, and 268 hold commas.
_ROW = re.compile(
    r"://[^,;]*(?:[,;][^,;]*)*?\.(?:jpe?g|png|gif|webp|bmp|avif|tiff?)(?:\?[^,;]*)?[,;]\s*([^\W\d][\w '()&-]*)$",
    re.IGNORECASE,
)


class Plain(NamedTuple):
    """`reference`: a link, or a file; of a list of links, "" where there is none. `key` is "" where none is given."""

    reference: str
    key: str = ""
    wrong: str = ""  # why the line can't be used, as a clause


def of_line(line: str, suffix: str) -> Plain:
    """A line that is not empty. suffix: of the list's name, in small letters.

    In a .csv or .tsv a comma separates, unless it stands in quotes; in other lists, it may be a part of a link.
    """
    line = line.strip()
    if "\0" in line:
        return Plain("", wrong="it holds a NUL byte")
    if found := _LINE_ENDS.search(line):
        return Plain("", wrong=f"it holds {shown(found[0])}, which ends no line; separate them by \\n")
    if row := _ROW.search(line):
        return Plain("", wrong=_a_table(row[1]))
    if suffix in (".csv", ".tsv"):
        return _of_fields(line)
    if _LINK.match(line):
        link, tab, rest = line.partition("\t")
        return Plain("", wrong=_a_table(rest)) if tab else Plain(link)
    key, _, link = (part.strip() for part in line.partition("\t" if "\t" in line else ","))
    return _with_key(key, link)


def _of_fields(line: str) -> Plain:
    delimiter = "\t" if "\t" in line else ","
    try:
        first, *others = (field.strip() for field in next(csv.reader([line], delimiter=delimiter, strict=True)))
    except csv.Error as error:
        return Plain("", wrong=f"this is no CSV ({error})")
    if _LINK.match(first):
        return Plain("", wrong=_a_table(others[0])) if others else Plain(first)
    if len(others) > 1 and not _SPLIT_FILE.fullmatch(delimiter.join(others)):
        wrong = f"it has {len(others) + 1} fields, and no header says what they are; name the columns in the first line"
        return Plain("", first, wrong)
    return _with_key(first, delimiter.join(others))


def _with_key(key: str, link: str) -> Plain:
    if _SPLIT_FILE.fullmatch(link):
        return Plain("", key, "this is a line of a split file; name it with --splits")
    return Plain(link, key)


def _a_table(rest: str) -> str:
    return (
        f"{shown(rest)[:40]!r} stands after the link; if this is a table, name the columns in its first line "
        "(url,label), and if the comma is part of the link, write it %2C"
    )
