"""What a source lists: the files of a folder per class, or of a CSV, and what is refused by its name alone."""

import csv
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from curate.foundation.errors import UsageError


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
    elif source.suffix.lower() != ".csv":
        raise UsageError(f"{source} is neither a folder with a folder per class nor a CSV (path,label)")
    else:
        found = _of_csv(source)
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


def _of_csv(source: Path) -> list[Entry | Reject]:
    """Raises UsageError where the file is no CSV with the columns path and label (and, if it likes, split)."""
    found: list[Entry | Reject] = []
    lines: dict[str, int] = {}
    for line, path, label, split in _csv_rows(source):
        place = source.parent / path
        # Absolute or not, ".." or not: the key stays inside the collection, and depends on no other row.
        key = posixpath.normpath("/" + path).lstrip("/") if path else f"{source.name}:{line}"
        if not path:
            found.append(Reject(key, "no path", f"line {line} of {source.name} names no file", str(source)))
        elif not label:
            found.append(Reject(key, "no class", f"line {line} of {source.name} has no label", str(place)))
        elif key in lines:
            detail = f"line {line} of {source.name} ({label}) repeats line {lines[key]}, which counts"
            found.append(Reject(key, "listed twice", detail, str(place)))
        else:
            lines[key] = line
            found.append(Entry(key, label, place, split))
    return found


def _csv_rows(source: Path) -> Iterator[tuple[int, str, str, str]]:
    """(line number, path, label, official split) of each row; the last is "" where there is no column split."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                columns = " and ".join(sorted(missing, reverse=True))
                raise UsageError(f"{source} has no column {columns}; its first line should be: path,label")
            for row in reader:
                split = (row.get("split") or "").strip().lower()
                if split not in ("", "train", "test"):
                    raise UsageError(f"{source}, line {reader.line_num}: split is {split!r}; train, test or nothing")
                yield reader.line_num, (row["path"] or "").strip(), (row["label"] or "").strip(), split
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise UsageError(f"{source} cannot be read as CSV ({error})") from error


def _with_a_storable_name(one: Entry | Reject) -> Entry | Reject:
    """Names that are no UTF-8 (Python has them with surrogates) fit in no table and no JSON."""
    texts = (one.key, one.label, str(one.path)) if isinstance(one, Entry) else tuple(one)
    if all(_escaped(text) == text for text in texts):
        return one
    file = one.path if isinstance(one, Entry) else one.file
    return Reject(_escaped(one.key), "name is not UTF-8", "rename the file", _escaped(str(file)))


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
