"""Import: a folder per class, or a CSV of paths and labels, becomes a collection.

Everything that was listed ends as a row of the image table, as one that was there already, or as a reject with its
cause; nothing is passed over in silence. The tables are written once, at the end. What an interrupted import had
copied and decoded is found again by content, so the same command goes on where it stopped.
"""

import csv
import errno
import hashlib
import os
import posixpath
import shutil
import stat
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from curate import console, groups
from curate.collection import COLUMNS, REJECT_COLUMNS, Collection
from curate.errors import FewposeError, UsageError
from curate.images import DEFAULT_LIMITS, NO_LIMITS, Limits, Unreadable, read_file
from curate.signatures import Signature, Signatures, look
from curate.status import Status, status

_T = TypeVar("_T")
_R = TypeVar("_R")

# What a file system says of a name that it can't hold; anything else (disk full, read-only) ends the import.
_BAD_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EILSEQ, errno.EINVAL}


class Entry(NamedTuple):
    """A file that is to become an image."""

    key: str  # posix path relative to the source: a function of this file alone
    label: str
    path: Path  # absolute


class Reject(NamedTuple):
    """One row of rejects.parquet."""

    key: str
    cause: str
    detail: str
    file: str


class Changed(NamedTuple):
    """A key that the collection has with other bytes, or under another label. The collection's stay."""

    key: str
    what: str


class Unchanged(NamedTuple):
    key: str


class Added(NamedTuple):
    row: dict[str, Any]  # COLUMNS, without the group
    signature: Signature


Outcome = Added | Unchanged | Changed | Reject


@dataclass(frozen=True)
class ImportSummary:
    """What one import did, and what the collection is afterwards."""

    added: int
    unchanged: int
    changed: list[Changed]
    rejects: list[Reject]  # of this import
    status: Status


def import_folder(
    source: Path,
    collection: Path,
    *,
    link: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
) -> ImportSummary:
    """Bring the images of `source` into `collection`, which is made where it doesn't exist.

    source: a folder with a folder per class (the label is the first part of the path), or a CSV with the columns
        path (relative to the CSV) and label.
    link: refer to the files where they are; otherwise they are copied to images/KEY.
    workers: threads; one for each CPU unless said.

    What is in the collection stays as it is, whatever has become of its file in the source.
    Raises UsageError where the source makes no sense, FewposeError where nothing in it can be read.
    """
    source = source.absolute()
    entries, rejects = _listed(source, collection)
    if not entries and not rejects:
        raise FewposeError(f"there are no files in {source}; it should hold a folder of images for each class")
    workers = workers or os.cpu_count() or 1
    try:
        target = Collection.create(collection)
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
        status=status(target),
    )


def _import(
    target: Collection, entries: list[Entry], rejects: list[Reject], *, limits: Limits, link: bool, workers: int
) -> list[Outcome]:
    before = target.images()
    signatures = Signatures(target)
    try:
        outcomes = [*_Import(target, before, signatures, limits, link).run(entries, workers), *rejects]
        images = _with_groups(target, _merged(before, outcomes), signatures, workers)
    finally:
        signatures.close()
    if not link:
        os.sync()  # the tables must not outlive, in a power cut, the copies that they name
    target.write(images, _merged_rejects(target.rejects(), outcomes))
    return outcomes


def _nothing(source: Path, rejects: list[Reject], target: Collection) -> str:
    counted = Counter(reject.cause for reject in rejects).most_common()
    causes = ", ".join(f"{count} {cause}" for cause, count in counted)
    return f"nothing in {source} could be read as an image ({causes}); see {target.root / 'rejects.parquet'}"


# What the source lists


def _listed(source: Path, collection: Path) -> tuple[list[Entry], list[Reject]]:
    """The files to import, sorted by key, and what is refused by its name alone."""
    if source.is_dir():
        inside, outside = collection.resolve(), source.resolve()
        if inside.is_relative_to(outside) or outside.is_relative_to(inside):
            raise UsageError(f"{collection} and {source} lie inside each other; put the collection somewhere else")
        found = [_of_folder(source, path, problem) for path, problem in _walk(source)]
    elif not source.exists():
        raise UsageError(f"{source} does not exist; name a folder with a folder per class, or a CSV (path,label)")
    elif source.suffix.lower() != ".csv":
        raise UsageError(f"{source} is neither a folder with a folder per class nor a CSV (path,label)")
    else:
        found = _of_csv(source)
    named = [_with_a_storable_name(one) for one in found]
    entries = sorted(one for one in named if isinstance(one, Entry))
    return entries, sorted(one for one in named if isinstance(one, Reject))


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
    """Raises UsageError where the file is no CSV with the columns path and label."""
    found: list[Entry | Reject] = []
    lines: dict[str, int] = {}
    for line, path, label in _csv_rows(source):
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
            found.append(Entry(key, label, place))
    return found


def _csv_rows(source: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, path, label) of each row."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                columns = " and ".join(sorted(missing, reverse=True))
                raise UsageError(f"{source} has no column {columns}; its first line should be: path,label")
            for row in reader:
                yield reader.line_num, (row["path"] or "").strip(), (row["label"] or "").strip()
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
        self.unfinished = collection.root / ".copying"  # so that images/ holds whole files only

    def run(self, entries: list[Entry], workers: int) -> Iterator[Outcome]:
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir()
        try:
            with console.progress("importing", len(entries)) as advance:
                for outcome in _in_threads(self.take, entries, workers):
                    if isinstance(outcome, Added):
                        self.signatures.add(outcome.row["id"], outcome.signature)
                    advance(1)
                    yield outcome
        finally:
            shutil.rmtree(self.unfinished, ignore_errors=True)

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
                self._place(file, content)
            except OSError as error:
                if error.errno not in _BAD_NAME:
                    raise
                return Reject(entry.key, "cannot be copied", os.strerror(error.errno), str(entry.path))
        return Added(_row(entry, file, content_id, len(content), signature), signature)

    def _again(self, entry: Entry, known: dict[Any, Any], content_id: str, content: bytes) -> Outcome:
        """A key that the collection has. A copy that went missing there is put back."""
        if known["id"] != content_id:
            return Changed(entry.key, "has changed since it was imported: kept the old")
        if not Path(known["file"]).is_absolute():
            self._place(known["file"], content)
        if known["label"] != entry.label:
            return Changed(entry.key, f"is listed as {entry.label} now: kept as {known['label']}")
        return Unchanged(entry.key)

    def _place(self, file: str, content: bytes) -> None:
        """Have exactly these bytes in the collection: what lies there is compared, not trusted."""
        path = self.collection.path(file)
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        copy = self.unfinished / uuid.uuid4().hex
        copy.write_bytes(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(path)


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
        "official_split": "",
    }


def _in_threads(function: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """Results in the order of the items. What has not begun is dropped when something fails."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


# The tables


def _merged(before: pd.DataFrame, outcomes: list[Outcome]) -> pd.DataFrame:
    """The image table with what was added; its group is empty."""
    rows = [{**outcome.row, "group": ""} for outcome in outcomes if isinstance(outcome, Added)]
    if not rows:
        return before
    return pd.concat([before, pd.DataFrame(rows).astype(COLUMNS)], ignore_index=True)


def _merged_rejects(before: pd.DataFrame, outcomes: list[Outcome]) -> pd.DataFrame:
    """What was tried this time counts; what was not, stays."""
    tried = {outcome.row["key"] if isinstance(outcome, Added) else outcome.key for outcome in outcomes}
    rows = [outcome._asdict() for outcome in outcomes if isinstance(outcome, Reject)]
    now = pd.DataFrame(rows, columns=list(REJECT_COLUMNS)).astype(REJECT_COLUMNS)
    return pd.concat([before[~before["key"].isin(tried)], now], ignore_index=True)


def _with_groups(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> pd.DataFrame:
    """The image table with groups: the old ones where nothing was added, or else all of them anew."""
    if (images["group"] != "").all():
        return images
    by_id = images.drop_duplicates("id").sort_values("id")
    _look_again(collection, by_id[[i not in signatures for i in by_id["id"]]], signatures, workers)
    found = [i for i in by_id["id"] if i in signatures]
    console.err.print(f"looking for copies among {len(found)} images", soft_wrap=True)
    group = dict(zip(found, groups.assign(found, signatures.thumbnails(found)), strict=True))
    return images.assign(group=[group.get(i, i) for i in images["id"]])


def _look_again(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> None:
    """Signatures that were deleted. Of a linked file that is gone there is none, and only exact copies are known."""
    if images.empty:
        return

    def signature(file: str) -> Signature | None:
        try:
            return look(read_file(collection.path(file), NO_LIMITS), NO_LIMITS)
        except Unreadable:
            return None

    with console.progress("looking again", len(images)) as advance:
        for content_id, found in zip(images["id"], _in_threads(signature, images["file"], workers), strict=True):
            if found:
                signatures.add(content_id, found)
            advance(1)
