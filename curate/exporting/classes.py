"""The formats of images and their classes: folders, a CSV, WebDataset, FiftyOne's."""

import io
import json
import tarfile
from typing import Any

from curate.exporting.job import Job
from curate.exporting.names import extension, file_name, folder_name, free, numbered
from curate.foundation import atomic, csv_files


def folder(job: Job) -> None:
    """OUT/label/name.jpg, the name being the last part of the key."""
    taken: set[str] = set()
    for row in job.rows(job.images):
        parent, name = folder_name(row["label"]), file_name(row["key"])
        job.place(row, job.out / parent / free(parent, name, row["id"], taken))


def csv(job: Job) -> None:
    """OUT/images.csv, which names the files where they are; `curate import OUT/images.csv` reads it."""
    rows = []
    for row in job.rows(job.images):
        job.content(row)  # a file that it names is the image of that id, as in the other formats
        path = job.collection.path(row["file"]).absolute()
        rows.append((str(path), row["label"], row["official_split"], row["key"], row["id"]))
    atomic.write_text(job.out / "images.csv", csv_files.text([("path", "label", "split", "key", "id"), *rows]))


def webdataset(job: Job) -> None:
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
                for ending, content in _sample(job, row, classes).items():
                    member = tarfile.TarInfo(f"{number:08}.{ending}")  # its other fields are the same for everybody
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def _sample(job: Job, row: dict[Any, Any], classes: dict[str, int]) -> dict[str, bytes]:
    """Extension: content, of one image."""
    told = {"key": row["key"], "id": row["id"], "label": row["label"], "split": row["official_split"]}
    return {
        extension(row): job.content(row),
        "cls": str(classes[row["label"]]).encode(),
        "json": json.dumps(told, sort_keys=True, ensure_ascii=False).encode(),
    }


def fiftyone(job: Job) -> None:
    """OUT/labels.json and OUT/data/NUMBER.jpg: FiftyOne's FiftyOneImageClassificationDataset."""
    classes, labels = job.classes(), {}
    for number, row in enumerate(job.rows(job.images)):
        job.place(row, job.out / "data" / numbered(number, row))
        labels[f"{number:08}"] = {
            "label": classes[row["label"]],
            "attributes": {"key": row["key"], "content_id": row["id"], "official_split": row["official_split"]},
        }
    atomic.write_json(job.out / "labels.json", {"classes": list(classes), "labels": labels})
