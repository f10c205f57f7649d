"""Import: a folder per class, or a CSV of paths and labels, becomes a collection.

Everything that was listed ends as a row of the image table, as one that was there already, or as a reject with its
cause; nothing is passed over in silence. The tables are written once, at the end. What an interrupted import had
copied and decoded is found again by content, so the same command goes on where it stopped.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.file_writer import BadName, FileWriter
from curate.foundation import console
from curate.foundation.errors import FewposeError
from curate.images.decoding import DEFAULT_LIMITS, Limits, Unreadable, read_file
from curate.images.signatures import Signature, Signatures
from curate.importing import tables
from curate.importing.listing import Entry, Reject, listed


class Changed(NamedTuple):
    """A key that the collection has with other bytes, or under another label. The collection's stay."""

    key: str
    what: str


class Unchanged(NamedTuple):
    key: str


class Added(NamedTuple):
    row: dict[str, Any]  # COLUMNS; the group is empty

    @property
    def key(self) -> str:
        return str(self.row["key"])


Outcome = Added | Unchanged | Changed | Reject


@dataclass(frozen=True)
class ImportSummary:
    """What one import did, and the collection that it did it to."""

    added: int
    unchanged: int
    changed: list[Changed]
    rejects: list[Reject]  # of this import
    collection: Collection


def import_folder(
    source: Path,
    collection: Path,
    *,
    link: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    caches: Path | None = None,
) -> ImportSummary:
    """Bring the images of `source` into `collection`, which is made where it doesn't exist.

    source: a folder with a folder per class (the label is the first part of the path), or a table (CSV, JSON lines,
        Parquet) with the columns path (relative to the table) and label, and, if there is an official split, split
        (train or test).
    link: refer to the files where they are; otherwise they are copied to images/KEY.
    workers: threads; one for each CPU unless said.
    caches: as of `Collection`.

    What is in the collection stays as it is, whatever has become of its file in the source.
    Raises UsageError where the source makes no sense, FewposeError where nothing in it can be read.
    """
    source = source.absolute()
    entries, rejects = listed(source, collection)
    if not entries and not rejects:
        raise FewposeError(f"there are no files in {source}; it should hold a folder of images for each class")
    workers = workers or os.cpu_count() or 1
    try:
        target = Collection.create(collection, caches)
        with target.locked():
            outcomes = _import(target, entries, rejects, limits=limits, link=link, workers=workers)
    except OSError as error:  # reading a file that fails is a reject; this is writing
        raise FewposeError(f"cannot write {error.filename or collection}: {error.strerror}") from error
    refused = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
    if len(refused) == len(outcomes):
        raise FewposeError(_nothing(source, refused, target))
    return ImportSummary(
        added=sum(isinstance(outcome, Added) for outcome in outcomes),
        unchanged=sum(isinstance(outcome, Unchanged) for outcome in outcomes),
        changed=[outcome for outcome in outcomes if isinstance(outcome, Changed)],
        rejects=refused,
        collection=target,
    )


def _import(
    target: Collection, entries: list[Entry], rejects: list[Reject], *, limits: Limits, link: bool, workers: int
) -> list[Outcome]:
    before = target.images(missing_ok=True)
    with Signatures(target) as signatures:
        outcomes = [*_Import(target, before, signatures, limits, link).run(entries, workers), *rejects]
        added = tables.frame([outcome.row for outcome in outcomes if isinstance(outcome, Added)], COLUMNS)
        images = pd.concat([before, added], ignore_index=True)
        images = tables.with_groups(target, images, signatures, workers)
    if not link:
        os.sync()  # the tables must not outlive, in a power cut, the copies that they name
    target.write(images, _merged_rejects(target.rejects(), outcomes))
    return outcomes


def _merged_rejects(before: pd.DataFrame, outcomes: list[Outcome]) -> pd.DataFrame:
    """What was tried this time counts; what was not, stays."""
    rows = [outcome._asdict() for outcome in outcomes if isinstance(outcome, Reject)]
    untouched = before[~before["key"].isin({outcome.key for outcome in outcomes})]
    return pd.concat([untouched, tables.frame(rows, REJECT_COLUMNS)], ignore_index=True)


def _nothing(source: Path, rejects: list[Reject], target: Collection) -> str:
    counted = Counter(reject.cause for reject in rejects).most_common()
    causes = ", ".join(f"{count} {cause}" for cause, count in counted)
    return f"nothing in {source} could be read as an image ({causes}); see {target.root / 'rejects.parquet'}"


# What becomes of each file


class _Import:
    """One run over the files of a source; `take` is called from threads."""

    def __init__(
        self, collection: Collection, before: pd.DataFrame, signatures: Signatures, limits: Limits, link: bool
    ) -> None:
        self.collection = collection
        self.known: dict[str, dict[Any, Any]] = {
            row["key"]: row for row in before[["key", "id", "label", "file"]].to_dict("records")
        }
        self.signatures = signatures
        self.limits = limits
        self.link = link

    def run(self, entries: list[Entry], workers: int) -> Iterator[Outcome]:
        with FileWriter(self.collection) as self.writer, console.progress("importing", len(entries)) as advance:
            for outcome in tables.in_threads(self.take, entries, workers):
                advance(1)
                yield outcome

    def take(self, entry: Entry) -> Outcome:
        known = self.known.get(entry.key)
        try:
            content = read_file(entry.path, self.limits)
            content_id = hashlib.sha256(content).hexdigest()
            if known:
                return self._again(entry, known, content_id, content)
            signature = self.signatures.of(content_id, content, self.limits)
        except Unreadable as problem:
            if known:
                return Changed(entry.key, f"can no longer be read ({problem}): kept the old")
            return Reject(entry.key, str(problem.cause), problem.detail, str(entry.path))
        file = str(entry.path)
        if not self.link:
            file = f"images/{entry.key}"
            try:
                self.writer.write(file, content)
            except BadName as error:
                return Reject(entry.key, "cannot be copied", str(error.strerror), str(entry.path))
        return Added(_row(entry, file, content_id, len(content), signature))

    def _again(self, entry: Entry, known: dict[Any, Any], content_id: str, content: bytes) -> Outcome:
        """A key that the collection has. A copy that went missing there is put back."""
        if known["id"] != content_id:
            return Changed(entry.key, "has changed since it was imported: kept the old")
        if not Path(known["file"]).is_absolute():
            self.writer.write(known["file"], content)
        if known["label"] != entry.label:
            return Changed(entry.key, f"is listed as {entry.label} now: kept as {known['label']}")
        return Unchanged(entry.key)


def _row(entry: Entry, file: str, content_id: str, size: int, signature: Signature) -> dict[str, Any]:
    return {
        "key": entry.key,
        "id": content_id,
        "label": entry.label,
        "file": file,
        "source": "import",
        "url": "",
        "width": signature.width,
        "height": signature.height,
        "format": signature.format,
        "mode": signature.mode,
        "frames": signature.frames,
        "bytes": size,
        "official_split": entry.official_split,
        "provenance": "",
        "group": "",
    }
