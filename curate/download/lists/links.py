"""Link lists become links: what to ask for, under which key and label, each named by file and line.

One line depends on no other, except where two ask for the same place: the first of them, by file and line, counts.
"""

import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from curate.download.lists import formats, keys
from curate.download.lists.formats import Cause, Problem, Row
from curate.download.lists.source import require
from curate.download.lists.split_files import Splits
from curate.download.web import urls
from curate.foundation.errors import UsageError
from curate.lists.lines import SUFFIXES, printable

_IMAGES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".avif", ".tif", ".tiff"}
_SHOWN = 3  # problems that an error names


@dataclass(frozen=True, slots=True)
class Link:
    key: str  # Class/123.jpg: where the image belongs below images/
    label: str
    url: str  # in normal form
    official_split: str  # train, test or ""
    file: str  # the list that it stands in
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Listing:
    links: list[Link]  # sorted by key, each key once
    problems: list[Problem]  # by file and line: lines and files that gave no link


def read(source: Path, splits: Splits | None = None) -> Listing:
    """The links of a folder of lists, or of one list (see `lists` for how they may be written).

    The label is what the list says, or else the split files, or else the key's first part. The official split is what
    the list says, or else the split files. A key that isn't given is made of the label and a hash of the URL.

    A line that says again what another said is passed over. Two lines that want one key, or keys that one file system
    or another can't hold both (equal but for case; one a folder of the other), are a problem of the second.
    Raises UsageError where there is no list, or no link in it.
    """
    splits = splits or Splits()
    problems: list[Problem] = []
    places = _Places()
    for path in _files(source):
        if isinstance(path, Problem):
            problems.append(path)
        elif path.resolve() not in splits.files:
            problems += _read_list(path, splits, places)
    if not places.links:
        raise UsageError(_nothing(source, problems))
    return Listing(sorted(places.links, key=lambda link: link.key), problems)


def _nothing(source: Path, problems: list[Problem]) -> str:
    if not problems:
        return f"{source} holds no list of links; it should hold files {', '.join(SUFFIXES)}"
    more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
    return f"{source} holds no link that can be asked: {'; '.join(map(str, problems[:_SHOWN]))}{more}"


# Files


def _files(source: Path) -> list[Path | Problem]:
    """In the order of their names, and so the same on every system."""
    require(source)
    if source.is_dir():
        return [_as_list(path, why) for path, why in sorted(_walk(source), key=lambda found: found[0].as_posix())]
    if source.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{source} is neither a folder of link lists nor one list ({', '.join(SUFFIXES)})")
    return [source]


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    """Every file, and every folder that is not entered with the reason why (else "")."""
    closed: list[OSError] = []
    for folder, subfolders, files in os.walk(source, onerror=closed.append):
        for name in list(subfolders):
            path = Path(folder, name)
            if name.startswith("."):
                yield path, "is a hidden folder"
                subfolders.remove(name)
            elif path.is_symlink():
                yield path, "is a link to a folder; name that folder itself"
        for name in files:
            yield Path(folder, name), ""
    for error in closed:
        yield Path(error.filename), f"cannot be opened ({error.strerror})"


def _as_list(path: Path, why: str) -> Path | Problem:
    if not why and path.name.startswith("."):
        why = "is a hidden file"
    if not why and path.suffix.lower() not in SUFFIXES:
        why = f"is no {', '.join(SUFFIXES)}"
    if not why and not path.is_file():  # a pipe would be waited for
        why = "is no file that can be read"
    return Problem(printable(path), 0, "", Cause.NOT_A_LIST, why) if why else path


# Lines


def _read_list(path: Path, splits: Splits, places: "_Places") -> Iterator[Problem]:
    file = printable(path)
    for row in formats.rows(path):
        if isinstance(row, Problem):
            yield row
            continue
        link = _link(file, row, splits)
        if isinstance(link, Problem):
            yield link
        elif why := places.add(link):
            yield row._replace(key=link.key).problem(file, *why)


def _link(file: str, row: Row, splits: Splits) -> Link | Problem:
    if not row.url:
        return row.problem(file, Cause.UNREADABLE, "there is no URL")
    try:
        url = urls.normal(row.url)
    except ValueError as error:
        return row.problem(file, Cause.BAD_LINK, f"the link {error}")
    label, split = splits.of(row.key)
    label = row.label or label or row.key.rpartition("/")[0].partition("/")[0]
    split = row.split.lower() or split
    if split not in ("", "train", "test"):
        return row.problem(file, Cause.UNREADABLE, f"the split is {row.split!r}; it should be train, test or nothing")
    key = row.key or (_made_key(label, url) if label else "")
    if key and (why := keys.problem(key)):
        return row.problem(file, Cause.BAD_KEY, f"the key {why}")
    if not label:
        return row.problem(file, Cause.NO_CLASS, "nothing says of which class it is; write the key as Class/name.jpg")
    return Link(key, sys.intern(label), url, sys.intern(split), file, row.line)


def _made_key(label: str, url: str) -> str:
    extension = PurePosixPath(urlsplit(url).path).suffix.lower()
    name = blake2b(url.encode(), digest_size=6).hexdigest()
    return f"{label}/{name}{extension if extension in _IMAGES else '.jpg'}"


class _Places:
    """Which keys are taken, and by which link."""

    def __init__(self) -> None:
        self._files: dict[str, Link] = {}
        self._folders: dict[str, Link] = {}  # one of the links in each

    @property
    def links(self) -> Collection[Link]:
        return self._files.values()

    def add(self, link: Link) -> tuple[Cause, str] | None:
        """Reserve the key of this link; why that can't be, or None (also where the same link has it already)."""
        place = keys.folded(link.key)
        before = self._files.get(place)
        if before:
            return _clash(link, before)
        folders = _folders(place)
        if place in self._folders:
            return Cause.BAD_KEY, f"the key is a folder of {_where(self._folders[place])}"
        if above := next((self._files[folder] for folder in folders if folder in self._files), None):
            return Cause.BAD_KEY, f"the key lies below {_where(above)}, which is a file"
        self._files[place] = link
        for folder in folders:
            self._folders.setdefault(folder, link)
        return None


def _folders(place: str) -> list[str]:
    parts = place.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _clash(link: Link, before: Link) -> tuple[Cause, str] | None:
    if link.key != before.key:
        return Cause.LISTED_TWICE, f"the key is the same file as {_where(before)} on Windows and macOS"
    if link.url != before.url:
        return Cause.LISTED_TWICE, f"the key has another URL in {before.file}, line {before.line}, which counts"
    if (link.label, link.official_split) != (before.label, before.official_split):
        return Cause.LISTED_TWICE, f"it has another class or split in {before.file}, line {before.line}, which counts"
    return None


def _where(link: Link) -> str:
    return f"{link.key} ({link.file}, line {link.line})"
