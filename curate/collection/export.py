"""Export: a training set as files that other programs read, whole or not at all, with a manifest of what it is."""

import errno
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection import sets
from curate.collection.directory import Collection
from curate.foundation import atomic, console, csv_files
from curate.foundation.errors import FewposeError, UsageError

_NAMED = 3  # files in a message
_LONGEST = 255  # bytes of a file's name
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg"}  # the other formats' names will do


@dataclass(frozen=True)
class Exported:
    """What an export holds, as its manifest.json says."""

    out: Path
    set: str
    digest: str
    format: str
    images: int
    classes: dict[str, int]  # label: images, sorted; a class's number, where a format has one, is its place here


@dataclass(frozen=True)
class _Job:
    """What a format is given: `images` to write below `out`."""

    collection: Collection
    images: pd.DataFrame
    out: Path
    link: bool
    shard_size: int
    advance: Callable[[int], None]

    def rows(self, images: pd.DataFrame) -> Iterator[dict[Any, Any]]:
        for row in images.to_dict("records"):
            yield row
            self.advance(1)

    def classes(self) -> dict[str, int]:
        """The number of each label."""
        return {label: number for number, label in enumerate(sorted(set(self.images["label"])))}

    def place(self, row: dict[Any, Any], target: Path) -> None:
        """Have an image's bytes at `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        content = self.content(row)
        if self.link:
            os.link(self.collection.path(row["file"]).resolve(), target)
        else:
            target.write_bytes(content)

    def content(self, row: dict[Any, Any]) -> bytes:
        """An image's bytes. Raises FewposeError where they are others than those that the set is of."""
        path = self.collection.path(row["file"])
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["id"]:
            raise FewposeError(f"{path} has changed since it became part of the collection; nothing was exported")
        return content


def export(
    collection: Collection,
    out: Path,
    *,
    name: str = "filtered",
    form: str = "folder",
    link: bool = False,
    shard_size: int = 1000,
) -> Exported:
    """Write a training set to `out`, a folder that is made; equal sets give equal bytes (csv excepted: it has paths).

    name: the training set. form: one of FORMATS. link: hard links instead of copies (folder and fiftyone).
    shard_size: images in a tar file of webdataset.
    Raises UsageError where `out` holds something or is of the collection, FewposeError where an image's file is gone
    or has changed, or nothing can be written. Nothing is left behind then.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    if link and form not in ("folder", "fiftyone"):
        raise UsageError(f"--link makes hard links of single files; format {form} has none")
    if shard_size < 1:
        raise UsageError(f"a shard holds one image at least, not {shard_size}")
    out = out.resolve()
    _check_free(out, collection)
    found = sets.training_set(collection, name)
    _check_there(collection, found.images)
    counts = {str(label): int(count) for label, count in found.images["label"].value_counts().sort_index().items()}
    unfinished = out.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        with console.progress("exporting", len(found.images)) as advance:
            FORMATS[form](_Job(collection, found.images, unfinished, link, shard_size, advance))
        exported = Exported(out, found.name, found.digest, form, len(found.images), counts)
        atomic.write_json(unfinished / "manifest.json", _manifest(exported))
        os.sync()
        unfinished.rename(out)
    except OSError as error:
        raise FewposeError(_cannot_write(error, out)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return exported


def folder_name(label: str) -> str:
    """A label as the name of a folder: what file systems or `curate import` would not take is spelt %2F.

    Different labels have different names.
    """
    return _spelt(label, '%/\\<>:"|?*')


def file_name(key: str) -> str:
    """The last part of a key as the name of a file, in the same spelling; most are as they are."""
    return _spelt(posixpath.basename(key), '\\<>:"|?*')


# The formats


def _folder(job: _Job) -> None:
    """OUT/label/name.jpg, the name being the last part of the key."""
    taken: set[str] = set()
    for row in job.rows(job.images):
        folder, name = folder_name(row["label"]), file_name(row["key"])
        job.place(row, job.out / folder / _free(folder, name, row["id"], taken))


def _csv(job: _Job) -> None:
    """OUT/images.csv, which names the files where they are; `curate import OUT/images.csv` reads it."""
    rows = []
    for row in job.rows(job.images):
        job.content(row)  # a file that it names is the image of that id, as in the other formats
        path = job.collection.path(row["file"]).absolute()
        rows.append((str(path), row["label"], row["official_split"], row["key"], row["id"]))
    atomic.write_text(job.out / "images.csv", csv_files.text([("path", "label", "split", "key", "id"), *rows]))


def _webdataset(job: _Job) -> None:
    """OUT/shard-000000.tar, ... Of each image NUMBER.jpg (or .png, ...), .cls (its class's number) and .json.

    The format is plain tar with the files of a sample side by side (https://github.com/webdataset/webdataset), so
    Python's tarfile writes it; the package would add nothing but what makes the bytes differ (times, owners). Images
    stand in the order of their content ids: mixed classes in every shard, in an order that no file name decides.
    """
    classes = job.classes()
    images = job.images.sort_values(["id", "label", "key"])
    for shard, start in enumerate(range(0, len(images), job.shard_size)):
        part = images[start : start + job.shard_size]
        with tarfile.open(job.out / f"shard-{shard:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number, row in enumerate(job.rows(part), start):
                for extension, content in _sample(job, row, classes).items():
                    member = tarfile.TarInfo(f"{number:08}.{extension}")  # its other fields are the same for everybody
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def _sample(job: _Job, row: dict[Any, Any], classes: dict[str, int]) -> dict[str, bytes]:
    """Extension: content, of one image."""
    told = {"key": row["key"], "id": row["id"], "label": row["label"], "split": row["official_split"]}
    return {
        _extension(row): job.content(row),
        "cls": str(classes[row["label"]]).encode(),
        "json": json.dumps(told, sort_keys=True, ensure_ascii=False).encode(),
    }


def _fiftyone(job: _Job) -> None:
    """OUT/labels.json and OUT/data/NUMBER.jpg: FiftyOne's FiftyOneImageClassificationDataset."""
    classes, labels = job.classes(), {}
    for number, row in enumerate(job.rows(job.images)):
        name = f"{number:08}"
        job.place(row, job.out / "data" / f"{name}.{_extension(row)}")
        labels[name] = {
            "label": classes[row["label"]],
            "attributes": {"key": row["key"], "content_id": row["id"], "official_split": row["official_split"]},
        }
    atomic.write_json(job.out / "labels.json", {"classes": list(classes), "labels": labels})


FORMATS: dict[str, Callable[[_Job], None]] = {
    "folder": _folder,
    "csv": _csv,
    "webdataset": _webdataset,
    "fiftyone": _fiftyone,
}


# What they share


def _check_free(out: Path, collection: Collection) -> None:
    if out.is_relative_to(collection.root.resolve()):
        raise UsageError(f"{out} is a part of the collection {collection.root}; export to a folder of its own")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty; export to a new folder")


def _check_there(collection: Collection, images: pd.DataFrame) -> None:
    gone = [file for file in images["file"] if not collection.path(file).is_file()]
    if gone:
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        raise FewposeError(
            f"{', '.join(gone[:_NAMED])}{more} of {collection.root} cannot be found; "
            "import or download again what is gone; nothing was exported"
        )
    if images.empty:
        raise FewposeError(f"this training set of {collection.root} holds no images; there is nothing to export")


def _manifest(exported: Exported) -> dict[str, Any]:
    """Without a time or a place: the same set is the same manifest."""
    folders = {label: folder_name(label) for label in exported.classes} if exported.format == "folder" else {}
    return {
        "set": exported.set,
        "digest": exported.digest,
        "format": exported.format,
        "images": exported.images,
        "labels": list(exported.classes),
        "classes": exported.classes,
        "fewpose": version("fewpose"),
    } | ({"folders": folders} if folders else {})


def _cannot_write(error: OSError, out: Path) -> str:
    if error.errno == errno.EXDEV:
        return f"{out} is on another file system than the images, so they can't be linked; leave --link out"
    return f"{error.filename or out} cannot be written or read ({error.strerror}); nothing was exported"


def _extension(row: dict[Any, Any]) -> str:
    """Without the dot. Of a table from elsewhere the format may be any text, and this becomes a part of a path."""
    return _EXTENSIONS.get(row["format"]) or re.sub("[^a-z0-9]", "", str(row["format"]).lower()) or "image"


def _free(folder: str, name: str, content_id: str, taken: set[str]) -> str:
    """`name`, or one like it where it is too long or taken; a file system may not tell Tree.jpg from tree.jpg."""
    stem, dot = posixpath.splitext(name)
    number, tried = 1, name
    while f"{folder}/{tried}".casefold() in taken or len(tried.encode()) > _LONGEST:
        ending = f"-{content_id[:12]}{f'-{number}' if number > 1 else ''}{dot}"
        tried = stem.encode()[: _LONGEST - len(ending.encode())].decode(errors="ignore") + ending
        number += 1
    taken.add(f"{folder}/{tried}".casefold())
    return tried


def _spelt(name: str, forbidden: str) -> str:
    special = {i for i, c in enumerate(name) if c in forbidden or not c.isprintable()}
    if name.startswith("."):  # hidden, or no name at all
        special.add(0)
    if name.endswith((".", " ")):
        special.add(len(name) - 1)
    return "".join(_as_bytes(c) if i in special else c for i, c in enumerate(name))


def _as_bytes(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
