"""Export: a training set as files that other programs read, whole or not at all, with a manifest of what it is."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection import sets
from curate.collection.directory import Collection
from curate.exporting import classes, coco
from curate.exporting.job import Job
from curate.exporting.names import folder_name
from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError, UsageError

_NAMED = 3  # files in a message


@dataclass(frozen=True)
class Format:
    """How a training set can be written."""

    write: Callable[[Job], None]
    links: bool = False  # whether it has a file of its own for each image, which may be a hard link
    people: bool = False  # whether it needs keypoints


FORMATS = {
    "folder": Format(classes.folder, links=True),
    "csv": Format(classes.csv),
    "webdataset": Format(classes.webdataset),
    "fiftyone": Format(classes.fiftyone, links=True),
    "coco": Format(coco.write, links=True, people=True),
}


@dataclass(frozen=True)
class Exported:
    """What an export holds, as its manifest.json says."""

    out: Path
    set: str
    digest: str
    format: str
    images: int
    classes: dict[str, int]  # label: images, sorted; a class's number, where a format has one, is its place here


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

    name: the training set. form: one of FORMATS. link: hard links instead of copies (folder, fiftyone and coco).
    shard_size: images in a tar file of webdataset. What coco lacks of keypoints is found, and kept in the collection.
    Raises UsageError where `out` holds something or is of the collection, FewposeError where an image's file is gone
    or has changed, nothing can be written, or coco lacks keypoints and no estimator can be had. Nothing is left behind
    then.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    if link and not FORMATS[form].links:
        raise UsageError(f"--link makes hard links of single files; format {form} has none")
    if shard_size < 1:
        raise UsageError(f"a shard holds one image at least, not {shard_size}")
    out = out.resolve()
    _check_free(out, collection)
    found = sets.training_set(collection, name)
    _check_there(collection, found.images)
    counts = {str(label): int(count) for label, count in found.images["label"].value_counts().sort_index().items()}
    people = coco.keypoints_of(collection, found.images) if FORMATS[form].people else None
    unfinished = out.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        with console.progress("exporting", len(found.images)) as advance:
            FORMATS[form].write(Job(collection, found, unfinished, link, shard_size, advance, people))
        exported = Exported(out, found.name, found.digest, form, len(found.images), counts)
        atomic.write_json(unfinished / "manifest.json", _manifest(exported))
        os.sync()
        unfinished.rename(out)
    except OSError as error:
        raise FewposeError(_cannot_write(error, unfinished, out)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return exported


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


def _cannot_write(error: OSError, unfinished: Path, out: Path) -> str:
    if error.errno == errno.EXDEV:
        return f"{out} is on another file system than the images, so they can't be linked; leave --link out"
    named = str(error.filename or out).replace(str(unfinished), str(out))
    return f"{named} cannot be written or read ({error.strerror}); nothing was exported"
