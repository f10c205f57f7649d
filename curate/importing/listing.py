"""What a source lists: the files of a folder per class, or of a table, and what is refused by its name alone."""

import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from curate.foundation.errors import UsageError
from curate.lists import tables
from curate.lists.columns import Wanted
from curate.lists.lines import SUFFIXES, NotAList
from curate.lists.tables import Record

_WANTED = Wanted(("path", "label"), ("split",))
_TABLES = ", ".join(SUFFIXES)


class Entry(NamedTuple):
    """A file that is to become an image."""

    key: str  # posix path relative to the source: a function of this file alone
    label: str
    path: Path  # absolute
    official_split: str = ""  # train, test, or "" where the source says nothing


class Reject(NamedTuple):
    """One row of rejects.parquet."""

    key: str
    cause: str
    detail: str
    file: str


def listed(source: Path, collection: Path | None = None) -> tuple[list[Entry], list[Reject]]:
    """The files to import into `collection`, or to read only, sorted by key; and what is refused by its name alone."""
    require(source)
    if source.is_dir():
        outside = source.resolve()
        inside = collection.resolve() if collection else None
        if inside and (inside.is_relative_to(outside) or outside.is_relative_to(inside)):
            raise UsageError(f"{collection} and {source} lie inside each other; put the collection somewhere else")
        found = [_of_folder(source, path, problem) for path, problem in _walk(source)]
    elif source.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{source} is neither a folder with a folder per class nor a table with path and label ({_TABLES})"
        )
    else:
        found = _of_table(source)
    named = [_with_a_storable_name(one) for one in found]
    entries = sorted(one for one in named if isinstance(one, Entry))
    return entries, sorted(one for one in named if isinstance(one, Reject))


def require(source: Path) -> None:
    """Raises UsageError where there is nothing to import."""
    if not source.exists():
        raise UsageError(f"{source} does not exist; name a folder with a folder per class, or a CSV (path,label)")


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    """Every file under `source`, and every folder that is not entered with the reason why (else "")."""
    waiting = [(source, frozenset([_identity(source)]))]
    while waiting:
        folder, above = waiting.pop()
        try:
            children = list(folder.iterdir())
        except OSError as error:
            yield folder, f"cannot be opened: {error.strerror}"
            continue
        for child in children:
            identity = _identity(child)
            if identity is None:
                yield child, ""
            elif child.name.startswith("."):  # .git, .ipynb_checkpoints: not a class, and not part of one
                yield child, "hidden folder"
            elif identity in above:
                yield child, "symlink loop"
            else:
                waiting.append((child, above | {identity}))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, links followed; None for anything else."""
    try:
        status = path.stat()
    except OSError:  # a link to nowhere is a file that can't be read
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _of_folder(source: Path, path: Path, problem: str) -> Entry | Reject:
    key = path.relative_to(source).as_posix()
    if problem:
        cause, _, detail = problem.partition(": ")
        return Reject(key, cause, detail or "this folder was not entered", str(path))
    label, _, rest = key.partition("/")
    if not rest:
        return Reject(
            key, "no class", f"lies directly in {source}; move it to a folder named like its class", str(path)
        )
    return Entry(key, label, path)


def _of_table(source: Path) -> list[Entry | Reject]:
    """Raises UsageError where the file is no table with the columns path and label (and, if it likes, split)."""
    try:
        return list(_of_records(source, tables.read(source, _WANTED, any_encoding=False)))
    except tables.NoHeader as why:
        raise UsageError(f"{source} {why}; it should be like: path,label") from why
    except NotAList as why:
        raise UsageError(f"{source} {why}") from why


def _of_records(source: Path, records: Iterator[Record]) -> Iterator[Entry | Reject]:
    """Each row is an entry or a reject."""
    lines: dict[str, int] = {}
    for record in records:
        path, label = record.values.get("path", ""), record.values.get("label", "")
        key, place = _key(path) or f"{source.name}:{record.line}", source.parent / path
        where = f"line {record.line} of {source.name}"
        if record.wrong:
            yield Reject(key, "unreadable row", f"{where}: {record.wrong}", str(source))
        elif not path:
            yield Reject(key, "no path", f"{where} names no file", str(source))
        elif not label:
            yield Reject(key, "no class", f"{where} has no label", str(place))
        elif key in lines:
            yield Reject(key, "listed twice", f"{where} ({label}) repeats line {lines[key]}, which counts", str(place))
        else:
            lines[key] = record.line
            yield Entry(key, label, place, _split(source, record))


def _key(path: str) -> str:
    """Absolute or not, ".." or not: the key stays inside the collection, and depends on no other row."""
    return posixpath.normpath(f"/{path}").lstrip("/") if path else ""


def _split(source: Path, record: Record) -> str:
    split = record.values.get("split", "").lower()
    if split not in ("", "train", "test"):
        raise UsageError(f"{source}, line {record.line}: split is {split!r}; train, test or nothing")
    return split


def _with_a_storable_name(one: Entry | Reject) -> Entry | Reject:
    """Names that are no UTF-8 (Python has them with surrogates) fit in no table and no JSON."""
    texts = (one.key, one.label, str(one.path)) if isinstance(one, Entry) else tuple(one)
    if all(_escaped(text) == text for text in texts):
        return one
    file = one.path if isinstance(one, Entry) else one.file
    return Reject(_escaped(one.key), "name is not UTF-8", "rename the file", _escaped(str(file)))


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
