"""The collection: a directory that is the only thing passing between stages.

collection.json    format version
images.parquet     the image table, one row a readable image
rejects.parquet    what could not become a row, and why
links.parquet      what was listed for download, and downloads.jsonl: what became of it (curate/download)
findings.parquet   what the rules say of each image, and checks.json: which ran; curation.yaml: their settings
keypoints.parquet  the people in each image (curate/pose)
ledger.jsonl       what people decided
images/            the files as they came, under their keys (absent files were linked, not copied)
cache/             signatures, groups, pixels, embeddings, the App's database: can be deleted and are made again;
                   or in a folder of the collection's own in the one that --cache or FEWPOSE_CACHE names
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.foundation import atomic, console, json_files, locks, parquet
from curate.foundation.errors import Busy, FewposeError, UsageError
from curate.foundation.inside import NO_NAME, inside
from curate.foundation.text import command_line

if TYPE_CHECKING:  # imported where a table is read: whether a directory is a collection is said without
    import pandas as pd

FORMAT = 1
FILE = "collection.json"
CACHE_VARIABLE = "FEWPOSE_CACHE"  # names the folder for the caches of all collections

# The image table: one row a readable image, sorted by key.
COLUMNS = {
    "key": "str",  # "Class/123.jpg": unique, with forward slashes
    "id": "str",  # sha256 of the file's bytes; two copies are two keys with one id
    "label": "str",
    "file": "str",  # relative to the collection, or absolute where linked
    "source": "str",  # import, download, synthetic
    "url": "str",  # "" where there is none
    "width": "int64",  # of the upright picture, pixels
    "height": "int64",
    "format": "str",  # Pillow's name: JPEG, PNG, ...
    "mode": "str",  # Pillow's mode of the file: RGB, CMYK, I;16, ...
    "frames": "int64",  # of an animation only the first is used
    "bytes": "int64",
    "official_split": "str",  # train, test, or ""
    "provenance": "str",  # of a synthetic image: how it was made, as JSON (synth/generate/provenance.py); "" of others
    "group": "str",  # the smallest id among the images that must stay on one side of every split
}
REJECT_COLUMNS = {"key": "str", "cause": "str", "detail": "str", "file": "str"}
_LATER: dict[str, str | int] = {"official_split": "", "frames": 0, "provenance": ""}  # that older tables lack

# A first import that was killed between its tables leaves what somebody does who deletes one: the way out is the same.
_AGAIN = "give the commands again that filled the collection (curate import, curate download, synth generate)"
_PUT_BACK = f"put back a copy of it, or delete it and {_AGAIN}: files and answers that are here are used again"


class Collection:
    """A collection on disk. Open one with `Collection.open`, make one with `Collection.create`.

    It can be pickled: workers in other processes are sent it with the place of its caches.
    """

    def __init__(self, root: Path, caches: Path | None = None) -> None:
        """caches: a folder for the caches of any collections; FEWPOSE_CACHE, or else COLLECTION/cache, unless said."""
        self.root = root
        named = caches or os.environ.get(CACHE_VARIABLE)
        self.caches = Path(named).expanduser().absolute() if named else None

    @classmethod
    def open(cls, root: Path, caches: Path | None = None) -> "Collection":
        """As `Collection`.

        Raises UsageError where `root` is no collection, FewposeError where its format is newer or can't be read.
        """
        file = inside(root, FILE)
        try:
            version = json_files.entry(json_files.read(file), "format", int)
        except (FileNotFoundError, NotADirectoryError) as error:
            if _has_tables(root):
                raise _unmarked(file, "is missing") from error
            raise UsageError(
                f"{root} is not a collection (there is no {FILE}); "
                f"make one with: {command_line('curate', 'import', 'PHOTOS', root)}"
            ) from error
        except OSError as error:
            raise FewposeError(f"{file} cannot be read ({error.strerror})") from error
        except json_files.NotJson as why:
            raise _unmarked(file, f"is damaged: {why}") from why
        if version > FORMAT:
            raise FewposeError(
                f"{root} has collection format {version}, this fewpose reads up to {FORMAT}; pip install -U fewpose"
            )
        return cls(root, caches)

    @classmethod
    def create(cls, root: Path, caches: Path | None = None) -> "Collection":
        """Open `root`, or make an empty collection of it. Raises UsageError where other things lie there; as `open`."""
        if inside(root, FILE).exists() or _has_tables(root):
            return cls.open(root, caches)
        if root.exists() and (not root.is_dir() or any(not _is_debris(path) for path in root.iterdir())):
            raise UsageError(f"{root} exists and is not a collection; name a new or an empty directory")
        json_files.write(root / FILE, {"format": FORMAT})
        return cls(root, caches)

    def absolute(self) -> "Collection":
        """The same for workers whose working directory is another."""
        return Collection(self.root.resolve(), self.caches)

    @property
    def name(self) -> str:
        """The folder's name and a digest of its path: tells collections apart where several are kept in one place."""
        path = self.root.resolve()
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name).strip("-") or "collection"
        return f"{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"

    def images(self, *, missing_ok: bool = False) -> "pd.DataFrame":
        """The image table (COLUMNS), sorted by key; empty before the first import.

        missing_ok: for commands that write it anew where it was deleted.
        Raises FewposeError where it is damaged, was deleted, or has a key or file that leads out of the collection.
        """
        path = self.file("images.parquet")
        try:
            table = parquet.read(path, COLUMNS, _PUT_BACK, optional=_LATER)
        except FileNotFoundError:
            if not missing_ok and self.file("rejects.parquet").exists():
                raise FewposeError(f"{path} is missing (it was deleted, or an import is not done); {_AGAIN}") from None
            return _empty(COLUMNS)
        for name in _LATER:
            if name not in table:
                table[name] = _LATER[name]
        _check_rows(path, table)
        return table.astype(COLUMNS)

    def rejects(self) -> "pd.DataFrame":
        """What could not become a row (REJECT_COLUMNS). Says where the table was deleted. Raises FewposeError."""
        path = self.file("rejects.parquet")
        try:
            return parquet.read(path, REJECT_COLUMNS, _PUT_BACK)
        except FileNotFoundError:
            if self.file("images.parquet").exists():
                console.warn(f"{path} is missing: what was rejected is not known; {_AGAIN}")
            return _empty(REJECT_COLUMNS)

    def write(self, images: "pd.DataFrame", rejects: "pd.DataFrame") -> None:
        """Replace both tables, each whole; equal tables are equal bytes whatever the order of their rows."""
        _write(self.file("rejects.parquet"), rejects, REJECT_COLUMNS)
        _write(self.file("images.parquet"), images, COLUMNS)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the collection for changing its tables. Raises Busy where another process does.

        The lock goes with the process, however it ends. Readers need none: tables are replaced whole.
        """

        def refusal(who: str) -> FewposeError:
            return Busy(f"another command is changing {self.root} ({who}); wait until it has ended")

        with ExitStack() as stack:
            try:
                stack.enter_context(locks.held(self.file(".lock"), refusal))
            except OSError as error:
                raise FewposeError(f"{self.root} cannot be written to ({error.strerror})") from error
            atomic.remove_unfinished(self.root, seconds=0)
            yield

    def file(self, name: str) -> Path:
        """Where a file of the collection's own is, such as its ledger; or a folder. Raises FewposeError as `inside`."""
        return inside(self.root, name)

    def path(self, file: str) -> Path:
        """Where an image's bytes are, from its `file` in the table; an absolute one, which was linked, stays as it is.

        What lies there may be anything: curate/images/originals.py reads it. Raises FewposeError as `inside`.
        """
        return Path(file) if Path(file).is_absolute() else inside(self.root, file)

    def cache(self, *parts: str) -> Path:
        """Where a part of its caches is. All that is in them is keyed by content; yet each collection has its own, so
        that `status` can tell their size, and one can be deleted. Raises FewposeError as `inside`.
        """
        if self.caches is None:
            return inside(self.root, "/".join(("cache", *parts)))
        return inside(self.caches, "/".join((self.name, *parts)))


_ID = "[0-9a-f]{64}"  # becomes a part of file names, and of caches
_NOT_OURS = "fewpose writes no such table; if it is from somebody else, do not trust the collection"


def _check_rows(path: Path, table: "pd.DataFrame") -> None:
    check_names(path, table["key"])
    check_names(path, table["file"][table["file"] != ""], absolute=True)  # a linked one is only ever read
    for row, id in table["id"][~table["id"].astype("str").str.fullmatch(_ID, na=False)].items():
        raise FewposeError(f"{path}, row {row}: {id!r} is no SHA-256 of a file's bytes; {_NOT_OURS}")
    for row, key in table["key"][table["label"].fillna("") == ""].items():
        raise FewposeError(f"{path}, row {row}: {key} has no label; {_NOT_OURS}")


def check_names(path: Path, names: "pd.Series", *, absolute: bool = False) -> None:
    """Raises FewposeError for the first of `names`, in the table at `path`, that is no name of a file in a folder.

    absolute: whether absolute paths will do, too.
    """
    # Not inside(): that looks at the disk, and this at a hundred thousand names in a moment.
    names = names.astype("str")
    wrong = names.str.contains(NO_NAME, na=True)
    if absolute:
        wrong &= ~names.str.startswith("/", na=False) | names.str.contains("\0", regex=False, na=True)
    for row, name in names[wrong].items():
        raise FewposeError(f"{path}, row {row}: {name!r} is no name of a file in the collection; {_NOT_OURS}")


def _is_debris(path: Path) -> bool:
    """What a process was writing when it was killed: nothing of it counts."""
    return path.name.startswith(atomic.PREFIX) and (path.is_symlink() or not path.is_dir())


def _has_tables(root: Path) -> bool:
    """Whether there is what only a collection holds."""
    ours = ("images.parquet", "rejects.parquet", "links.parquet", "ledger.jsonl")
    return any((root / name).exists() for name in ours)


def _unmarked(file: Path, what: str) -> FewposeError:
    """The error about a collection.json that is damaged or gone: it holds nothing that can't be written again."""
    again = f"echo '{{\"format\": {FORMAT}}}' > {command_line(file)}"
    return FewposeError(f"{file} {what}; it holds no more than a number: write it again with: {again}")


def _empty(columns: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _write(path: Path, table: "pd.DataFrame", columns: dict[str, str]) -> None:
    by = ["key"] if table["key"].is_unique else list(columns)  # all columns take ten times the memory
    ordered = table[list(columns)].astype(columns).sort_values(by, ignore_index=True)
    parquet.write(path, ordered)
