"""The collection: a directory that is the only thing passing between stages.

collection.json    format version
images.parquet     the image table, one row a readable image
rejects.parquet    what could not become a row, and why
links.parquet      what was listed for download, and downloads.jsonl: what became of it (curate/download)
findings.parquet   what the rules say of each image, and checks.json: which ran; curation.yaml: their settings
ledger.jsonl       what people decided
images/            the files as they came, under their keys (absent files were linked, not copied)
cache/             signatures, groups, pixels, embeddings, the App's database: can be deleted and are made again;
                   or in a folder of the collection's own in the one that --cache or FEWPOSE_CACHE names
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.foundation import atomic, locks
from curate.foundation.errors import Busy, FewposeError, UsageError
from curate.foundation.inside import NO_NAME, inside
from curate.foundation.text import command_line

if TYPE_CHECKING:  # imported where a table is read: whether a directory is a collection is said without
    import pandas as pd

FORMAT = 1
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
        """As `Collection`. Raises UsageError where `root` is no collection, FewposeError where its format is newer."""
        try:
            version = int(json.loads(inside(root, "collection.json").read_bytes())["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{root} is not a collection (no readable collection.json); "
                f"make one with: {command_line('curate', 'import', 'PHOTOS', root)}"
            ) from error
        if version > FORMAT:
            raise FewposeError(
                f"{root} has collection format {version}, this fewpose reads up to {FORMAT}; pip install -U fewpose"
            )
        return cls(root, caches)

    @classmethod
    def create(cls, root: Path, caches: Path | None = None) -> "Collection":
        """Open `root`, or make an empty collection of it. Raises UsageError where other things lie there."""
        if inside(root, "collection.json").exists():
            return cls.open(root, caches)
        if root.exists() and (not root.is_dir() or any(not _is_debris(path) for path in root.iterdir())):
            raise UsageError(f"{root} exists and is not a collection; name a new or an empty directory")
        atomic.write_json(root / "collection.json", {"format": FORMAT})
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

    def images(self) -> "pd.DataFrame":
        """The image table (COLUMNS), sorted by key; empty before the first import.

        Raises FewposeError where it is damaged, or where a key or file in it would lead out of the collection.
        """
        path = self.file("images.parquet")
        table = _read(path, COLUMNS)
        check_names(path, table["key"])
        check_names(path, table["file"][table["file"] != ""], absolute=True)  # a linked one is only ever read
        for row, key in table["key"][table["label"].fillna("") == ""].items():
            raise FewposeError(f"{path}, row {row}: {key} has no label; {_NOT_OURS}")
        return table

    def rejects(self) -> "pd.DataFrame":
        return _read(self.file("rejects.parquet"), REJECT_COLUMNS)

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
            for path in filter(_is_debris, self.root.iterdir()):
                path.unlink(missing_ok=True)
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


_NOT_OURS = "fewpose writes no such table; if it is from somebody else, do not trust the collection"


def check_names(path: Path, names: pd.Series, *, absolute: bool = False) -> None:
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
    return path.name.startswith(".writing-") and (path.is_symlink() or not path.is_dir())


def _read(path: Path, columns: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise FewposeError(f"{path} is damaged ({error}); run curate import again to rebuild it") from error
    for name, kind in columns.items():  # a table from before a column existed
        if name not in table:
            table[name] = pd.Series("" if kind == "str" else 0, index=table.index)
    return table


def _write(path: Path, table: "pd.DataFrame", columns: dict[str, str]) -> None:
    by = ["key"] if table["key"].is_unique else list(columns)  # all columns take ten times the memory
    ordered = table[list(columns)].astype(columns).sort_values(by, ignore_index=True)
    with atomic.replacing(path) as temporary:
        ordered.to_parquet(temporary, index=False)
