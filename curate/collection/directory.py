"""The collection: a directory that is the only thing passing between stages.

collection.json    format version
images.parquet     the image table, one row a readable image
rejects.parquet    what could not become a row, and why
links.parquet      what was listed for download, and downloads.jsonl: what became of it (curate/download)
findings.parquet   what the rules say of each image, and checks.json: which ran; curation.yaml: their settings
ledger.jsonl       what people decided
images/            the files as they came, under their keys (absent files were linked, not copied)
cache/             signatures, groups, pixels, embeddings, the App's database: can be deleted and are made again
"""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd

from curate.foundation import console, json_files, locks, parquet
from curate.foundation.errors import FewposeError, UsageError

FORMAT = 1
FILE = "collection.json"

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
    """A collection on disk. Open one with `Collection.open`, make one with `Collection.create`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path) -> "Collection":
        """Raises UsageError where `root` is no collection, FewposeError where its format is newer or can't be read."""
        try:
            version = json_files.entry(json_files.read(root / FILE), "format", int)
        except (FileNotFoundError, NotADirectoryError) as error:
            if _has_tables(root):
                raise _unmarked(root, "is missing") from error
            raise UsageError(
                f"{root} is not a collection (there is no {FILE}); make one with: curate import PHOTOS {root}"
            ) from error
        except OSError as error:
            raise FewposeError(f"{root / FILE} cannot be read ({error.strerror})") from error
        except json_files.NotJson as why:
            raise _unmarked(root, f"is damaged: {why}") from why
        if version > FORMAT:
            raise FewposeError(
                f"{root} has collection format {version}, this fewpose reads up to {FORMAT}; pip install -U fewpose"
            )
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> "Collection":
        """Open `root`, or make an empty collection of it. Raises UsageError where other things lie there; as `open`."""
        if (root / FILE).exists() or _has_tables(root):
            return cls.open(root)
        if root.exists() and (not root.is_dir() or any(not _is_debris(path) for path in root.iterdir())):
            raise UsageError(f"{root} exists and is not a collection; name a new or an empty directory")
        json_files.write(root / FILE, {"format": FORMAT})
        return cls(root)

    def images(self, *, missing_ok: bool = False) -> pd.DataFrame:
        """The image table (COLUMNS), sorted by key; empty before the first import.

        missing_ok: for commands that write it anew where it was deleted.
        Raises FewposeError where it is damaged, or was deleted.
        """
        path = self.root / "images.parquet"
        try:
            table = parquet.read(path, COLUMNS, _PUT_BACK, optional=_LATER)
        except FileNotFoundError:
            if not missing_ok and (self.root / "rejects.parquet").exists():
                raise FewposeError(f"{path} is missing (it was deleted, or an import is not done); {_AGAIN}") from None
            return _empty(COLUMNS)
        for name in _LATER:
            if name not in table:
                table[name] = _LATER[name]
        return table.astype(COLUMNS)

    def rejects(self) -> pd.DataFrame:
        """What could not become a row (REJECT_COLUMNS). Says where the table was deleted. Raises FewposeError."""
        path = self.root / "rejects.parquet"
        try:
            return parquet.read(path, REJECT_COLUMNS, _PUT_BACK)
        except FileNotFoundError:
            if (self.root / "images.parquet").exists():
                console.warn(f"{path} is missing: what was rejected is not known; {_AGAIN}")
            return _empty(REJECT_COLUMNS)

    def write(self, images: pd.DataFrame, rejects: pd.DataFrame) -> None:
        """Replace both tables, each whole; equal tables are equal bytes whatever the order of their rows."""
        _write(self.root / "rejects.parquet", rejects, REJECT_COLUMNS)
        _write(self.root / "images.parquet", images, COLUMNS)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the collection for changing its tables. Raises FewposeError where another process does.

        The lock goes with the process, however it ends. Readers need none: tables are replaced whole.
        """

        def refusal(who: str) -> FewposeError:
            return FewposeError(f"another command is changing {self.root} ({who}); wait until it has ended")

        with ExitStack() as stack:
            try:
                stack.enter_context(locks.held(self.root / ".lock", refusal))
            except OSError as error:
                raise FewposeError(f"{self.root} cannot be written to ({error.strerror})") from error
            for path in filter(_is_debris, self.root.iterdir()):
                path.unlink(missing_ok=True)
            yield

    def path(self, file: str) -> Path:
        """Where an image's bytes are, from its `file` in the table."""
        return self.root / file  # an absolute `file` stays as it is

    def cache(self, *parts: str) -> Path:
        return self.root.joinpath("cache", *parts)


def _is_debris(path: Path) -> bool:
    """What a process was writing when it was killed: nothing of it counts."""
    return path.name.startswith(".writing-")


def _has_tables(root: Path) -> bool:
    """Whether there is what only a collection holds."""
    ours = ("images.parquet", "rejects.parquet", "links.parquet", "ledger.jsonl")
    return any((root / name).exists() for name in ours)


def _unmarked(root: Path, what: str) -> FewposeError:
    """The error about a collection.json that is damaged or gone: it holds nothing that can't be written again."""
    again = f"echo '{{\"format\": {FORMAT}}}' > {shlex.quote(str(root / FILE))}"
    return FewposeError(f"{root / FILE} {what}; it holds no more than a number: write it again with: {again}")


def _empty(columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _write(path: Path, table: pd.DataFrame, columns: dict[str, str]) -> None:
    by = ["key"] if table["key"].is_unique else list(columns)  # all columns take ten times the memory
    ordered = table[list(columns)].astype(columns).sort_values(by, ignore_index=True)
    parquet.write(path, ordered)
