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

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd

from curate.foundation import atomic, locks
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line

FORMAT = 1

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
    """A collection on disk. Open one with `Collection.open`, make one with `Collection.create`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path) -> "Collection":
        """Raises UsageError where `root` is no collection, FewposeError where its format is newer than ours."""
        try:
            version = int(json.loads((root / "collection.json").read_bytes())["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{root} is not a collection (no readable collection.json); "
                f"make one with: {command_line('curate', 'import', 'PHOTOS', root)}"
            ) from error
        if version > FORMAT:
            raise FewposeError(
                f"{root} has collection format {version}, this fewpose reads up to {FORMAT}; pip install -U fewpose"
            )
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> "Collection":
        """Open `root`, or make an empty collection of it. Raises UsageError where other things lie there."""
        if (root / "collection.json").exists():
            return cls.open(root)
        if root.exists() and (not root.is_dir() or any(not _is_debris(path) for path in root.iterdir())):
            raise UsageError(f"{root} exists and is not a collection; name a new or an empty directory")
        atomic.write_json(root / "collection.json", {"format": FORMAT})
        return cls(root)

    def images(self) -> pd.DataFrame:
        """The image table (COLUMNS), sorted by key; empty before the first import."""
        return _read(self.root / "images.parquet", COLUMNS)

    def rejects(self) -> pd.DataFrame:
        return _read(self.root / "rejects.parquet", REJECT_COLUMNS)

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


def _read(path: Path, columns: dict[str, str]) -> pd.DataFrame:
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


def _write(path: Path, table: pd.DataFrame, columns: dict[str, str]) -> None:
    by = ["key"] if table["key"].is_unique else list(columns)  # all columns take ten times the memory
    ordered = table[list(columns)].astype(columns).sort_values(by, ignore_index=True)
    with atomic.replacing(path) as temporary:
        ordered.to_parquet(temporary, index=False)
