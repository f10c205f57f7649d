"""The inputs of `fewshot predict`: pictures, videos, links, those in folders and in lists, in a fixed order."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from curate.foundation.errors import UsageError
from curate.lists import plain, tables
from curate.lists.columns import Wanted
from curate.lists.lines import SUFFIXES, NotAList

PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
VIDEOS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"}

_WANTED = Wanted(("picture",))
_LINK = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Kind(StrEnum):
    PICTURE = "picture"
    VIDEO = "video"
    LINK = "link"
    UNUSABLE = "unusable"  # a row of a list


class Source(NamedTuple):
    name: str  # the path, the link; or where the row stands
    kind: Kind
    error: str = ""  # why it is unusable


def sources(paths: Iterable[Path]) -> tuple[list[Source], int]:
    """The pictures and videos of files, folders and lists, those of a folder sorted by path; and how many other files
    folders hold, which are not looked at. A file that is named itself is a list if its name ends like one's, and is
    looked at otherwise. Files in a list are named from the folder that it lies in.

    Raises UsageError for a path that does not exist, or that is neither file nor folder, and for a file that is no
    list though it is called so.
    """
    found: list[Source] = []
    others = 0
    for path in paths:
        if path.is_dir():
            inside = sorted(_files(path))
            chosen = [each for each in inside if each.suffix.lower() in PICTURES | VIDEOS]
            found += [_source(each) for each in chosen]
            others += len(inside) - len(chosen)
        elif not path.is_file():
            raise UsageError(f"{path} does not exist, or is neither a file nor a folder")
        elif path.suffix.lower() in SUFFIXES:
            found += _of_list(path)
        else:
            found.append(_source(path))
    return list(dict.fromkeys(found)), others


def of_lines(lines: Iterable[str]) -> Iterator[Source]:
    """The links that standard input lists: a table, as in a file; or a link a line, each given as it comes.

    Raises UsageError where it is a table without links.
    """
    waiting = (line.rstrip("\r\n") for line in lines)
    first = next((line for line in waiting if line.strip()), None)
    if first is None:
        return
    try:
        tables.records([first], _WANTED, "")  # of a table, also this line alone is one
    except tables.NoHeader:
        for number, line in enumerate(chain([first], waiting), start=1):
            if line.strip():
                yield _of_plain(line, ".txt", f"standard input, line {number}", None)
        return
    except NotAList as why:
        raise UsageError(f"standard input {why}") from why
    yield from _of_records(tables.records([first, *waiting], _WANTED, ""), "standard input", None)


def _of_list(path: Path) -> Iterator[Source]:
    try:
        yield from _of_records(tables.read(path, _WANTED), str(path), path.parent)
    except tables.NoHeader as text:
        for number, line in enumerate(text.lines, start=1):
            if line.strip():
                yield _of_plain(line, path.suffix.lower(), f"{path}, line {number}", path.parent)
    except NotAList as why:
        raise UsageError(f"{path} {why}") from why


def _of_records(records: Iterator[tables.Record], name: str, folder: Path | None) -> Iterator[Source]:
    for record in records:
        where, picture = f"{name}, line {record.line}", record.values.get("picture", "")
        wrong = record.wrong or ("" if picture else "no picture is named")
        yield Source(where, Kind.UNUSABLE, wrong) if wrong else _named(picture, folder)


def _of_plain(line: str, suffix: str, where: str, folder: Path | None) -> Source:
    reference, key, wrong = plain.of_line(line, suffix)
    if wrong:
        return Source(where, Kind.UNUSABLE, wrong)
    return _named(reference if _LINK.match(reference) else line.strip() if reference else key, folder)


def _named(picture: str, folder: Path | None) -> Source:
    """A link, or a file as seen from `folder`; without a folder no file is looked at."""
    if folder is None or _LINK.match(picture):
        return Source(picture, Kind.LINK)
    return _source(folder / picture)


def _source(path: Path) -> Source:
    return Source(str(path), Kind.VIDEO if path.suffix.lower() in VIDEOS else Kind.PICTURE)


def _files(folder: Path) -> Iterator[Path]:
    """All files below, without what is hidden. Links to folders are not followed: they may lead in a circle."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _files(path)
        else:
            yield path
