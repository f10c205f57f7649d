"""COCO's keypoint format (https://cocodataset.org/#format-data): images, and the people in them with their joints."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.collection.sets import TrainingSet
from curate.exporting.job import Job
from curate.exporting.names import numbered
from curate.foundation import atomic
from curate.pose import keypoints, needed
from curate.pose.keypoints import Keypoints
from curate.pose.people import COCO, JOINTS, Person
from curate.workers.settings import WorkerSettings

# COCO's own: pairs of its keypoints, counted from 1.
SKELETON = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11)),
    *((2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)
PERSON = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": [JOINTS[number] for number in COCO],
    "skeleton": [list(pair) for pair in SKELETON],
}


def keypoints_of(collection: Collection, images: pd.DataFrame) -> Keypoints:
    """The keypoints of `images` (rows of the image table); those that are missing are found, and kept.

    A collection that has them all is only read. Raises FewposeError as needed.keypoints_of, and where something is
    missing and the collection cannot be written to, or another command is changing it.
    """
    found = keypoints.read(collection)
    if set(images["id"]) <= found.ids():
        return found
    with collection.locked():
        return needed.keypoints_of(collection, images, WorkerSettings(workers=1))


def write(job: Job) -> None:
    """OUT/annotations.json, and OUT/images/NUMBER.jpg of the image whose id is NUMBER."""
    found = job.people
    if found is None:
        raise ValueError("a job of this format has the keypoints of its images")
    looked_at = found.ids()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, row in enumerate(job.rows(job.images)):
        name = numbered(number, row)
        job.place(row, job.out / "images" / name)
        images.append(_image(number, name, row, looked_at=row["id"] in looked_at))
        for person in found.people(row["id"]) if row["id"] in looked_at else []:
            annotations.append(_annotation(len(annotations) + 1, number, person, row["width"], row["height"]))
    told = {"info": _info(job.set, found), "images": images, "annotations": annotations, "categories": [PERSON]}
    atomic.write_json(job.out / "annotations.json", told)


def _info(of: TrainingSet, found: Keypoints) -> dict[str, str]:
    return {
        "description": f"training set {of.name} {of.digest}",
        "estimator": found.estimator,
        "fewpose": version("fewpose"),
    }


def _image(number: int, name: str, row: dict[Any, Any], *, looked_at: bool) -> dict[str, Any]:
    """What COCO asks for, and what we know besides.

    looked_at: whether people were looked for; an image that could not be read has no annotations either.
    """
    return {
        "id": number,
        "file_name": name,
        "width": row["width"],
        "height": row["height"],
        "label": row["label"],
        "key": row["key"],
        "content_id": row["id"],
        "official_split": row["official_split"],
        "looked_at": looked_at,
    }


def _annotation(number: int, image: int, person: Person, width: int, height: int) -> dict[str, Any]:
    """A person. The box is the one around all 33 joints, as far as it is in the picture; the area is the box's."""
    left, top, right, bottom = np.clip(np.nan_to_num(person.box), 0, [width, height, width, height]).tolist()
    joints = _joints(person, width, height)
    return {
        "id": number,
        "image_id": image,
        "category_id": PERSON["id"],
        "bbox": _rounded([left, top, right - left, bottom - top]),
        "area": round((right - left) * (bottom - top), 2),
        "iscrowd": 0,
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "keypoints": [number for x, y, v in joints.tolist() for number in (*_rounded([x, y]), int(v))],
        "score": round(float(np.nan_to_num(person.score)), 4),
    }


def _joints(person: Person, width: int, height: int) -> np.ndarray:
    """COCO's 17 keypoints, (17, 3): x, y, visibility. One that is not known, or that an estimator guesses beyond the
    picture's edge, is 0, 0, 0, as COCO has those that nobody could mark.
    """
    joints = person.coco().astype(np.float64)
    x, y = joints[:, 0], joints[:, 1]
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # of NaN, false
    return np.where(within[:, None], joints, 0.0)


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 2) for number in numbers]
