"""The body in the App: keypoints, and how many people were found how far within each image.

Thousands of points are compared with what the dataset holds only where the keypoints or the samples are others than at
the last time. A field that a person made under a name of ours stays as it is, and ours is not there.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.app import fiftyone_library, writing
from curate.pose.keypoints import Keypoints
from curate.pose.people import BONES, JOINTS, VALUES, Person

POINTS, PEOPLE, INSIDE = "keypoints", "people", "inside"
_LABEL = "person"
_DECIMALS = 5  # of a share of the picture's side, which is less than a tenth of a pixel
_SEEN = VALUES.index("visibility")


def update(dataset: Any, images: pd.DataFrame, known: Keypoints) -> None:
    """Bring the fields up to date; without keypoints there are none.  images: of the image table, whole."""
    said = dataset.info["fewpose"]
    ours = {name for name in said.get("body", []) if dataset.has_sample_field(name)}
    if known.table.empty:
        _remove(dataset, ours)
        return
    state = _state(dataset, images, known)
    current = said.get(POINTS) == state and POINTS in ours
    ours = _declare(dataset, ours)
    counted, within = known.counts(), known.inside()
    told = {PEOPLE: counted.to_dict(), INSIDE: {id: share for id, share in within.items() if share == share}}
    ids = dict(zip(images["key"], images["id"], strict=True))
    numbers = {name: {key: told[name].get(id) for key, id in ids.items()} for name in (PEOPLE, INSIDE) if name in ours}
    writing.write(dataset, numbers)
    if POINTS in ours and not current:
        _write_points(dataset, images, known)
        _remember(dataset, {POINTS: state})


def _remember(dataset: Any, facts: Mapping[str, Any]) -> None:
    dataset.info["fewpose"] = {**dataset.info["fewpose"], **facts}
    dataset.save()


def _state(dataset: Any, images: pd.DataFrame, known: Keypoints) -> str:
    """Of what the points are computed from, and of the samples that hold them: one made again is another one."""
    sizes = np.ascontiguousarray(images[["width", "height"]].to_numpy(np.int64))
    total = hashlib.sha256("\n".join([known.fingerprint(), *dataset.values("id"), *images["id"]]).encode())
    total.update(sizes.data)
    return total.hexdigest()[:16]


def _declare(dataset: Any, ours: set[str]) -> set[str]:
    """Make the fields that are not there, and the skeleton. Returns the names that are ours."""
    fo = fiftyone_library.fo()
    kinds: dict[str, dict[str, Any]] = {
        POINTS: {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Keypoints},
        PEOPLE: {"ftype": fo.IntField},
        INSIDE: {"ftype": fo.FloatField},
    }
    new = [name for name in kinds if not dataset.has_sample_field(name)]
    names = [name for name in kinds if name in ours or name in new]
    if new:  # Our names first: were this killed in between, a field of ours must not be taken for a person's.
        _remember(dataset, {"body": names})
    for name in new:
        dataset.add_sample_field(name, **kinds[name])
    if POINTS in names:
        _give_skeleton(dataset)
    return set(names)


def _give_skeleton(dataset: Any) -> None:
    skeleton = fiftyone_library.fo().KeypointSkeleton(labels=list(JOINTS), edges=[list(bone) for bone in BONES])
    if dataset.skeletons.get(POINTS) != skeleton:
        dataset.skeletons[POINTS] = skeleton
        dataset.save()


def _remove(dataset: Any, ours: set[str]) -> None:
    if ours:
        dataset.delete_sample_fields(sorted(ours))
    if POINTS in ours:
        dataset.skeletons.pop(POINTS, None)
    if "body" in dataset.info["fewpose"]:
        kept = {name: value for name, value in dataset.info["fewpose"].items() if name not in ("body", POINTS)}
        dataset.info["fewpose"] = kept
        dataset.save()


def _write_points(dataset: Any, images: pd.DataFrame, known: Keypoints) -> None:
    """Replace the people whose points are others than the dataset has.

    MongoDB is asked itself: FiftyOne would make labels of them all.
    """
    rows = zip(images["key"], images["id"], images["width"], images["height"], strict=True)
    about = {key: (id, np.array([width, height], np.float32)) for key, id, width, height in rows}
    looked_at = known.ids()
    updates = {}
    for sample in dataset._sample_collection.find({}, {"key": 1, POINTS: 1}):
        id, size = about[sample["key"]]
        wanted = [_shown(person, size) for person in known.people(id)] if id in looked_at else []
        has = (sample.get(POINTS) or {}).get("keypoints") or []
        if not _same(wanted, has):
            updates[str(sample["_id"])] = {POINTS: _stored(wanted)}
    writing.apply(dataset, updates)


def _shown(person: Person, size: np.ndarray) -> dict[str, np.ndarray]:
    """A person as the App draws them.

    points: (33, 2), shares of the picture's width and height, NaN where a joint is not known.  confidence: (33,).
    """
    points = person.joints[:, :2] / size
    points[~np.isfinite(points).all(1)] = np.nan
    return {
        "points": points.astype(np.float64).round(_DECIMALS),
        "confidence": person.joints[:, _SEEN].astype(np.float64).round(_DECIMALS),
    }


def _same(wanted: list[dict[str, np.ndarray]], has: list[Mapping[str, Any]]) -> bool:
    """has: people as MongoDB holds them."""
    return len(wanted) == len(has) and all(
        np.array_equal(np.array(there.get(name), np.float64), value, equal_nan=True)
        for person, there in zip(wanted, has, strict=True)
        for name, value in person.items()
    )


def _stored(people: list[dict[str, np.ndarray]]) -> dict[str, Any] | None:
    """As MongoDB holds them; None of nobody."""
    import bson

    fo = fiftyone_library.fo()
    form = fo.Keypoint(label=_LABEL).to_dict()
    found = [
        form | {"_id": bson.ObjectId(), "tags": [], "attributes": {}, **{name: v.tolist() for name, v in one.items()}}
        for one in people
    ]
    return fo.Keypoints().to_dict() | {"keypoints": found} if found else None
