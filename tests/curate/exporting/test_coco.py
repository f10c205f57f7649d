"""COCO's keypoint format: what is written is what its description asks for, and what the estimator found."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.collection import decisions
from curate.collection.directory import Collection
from curate.collection.sets import training_set
from curate.exporting.export import export
from curate.foundation.errors import FewposeError
from curate.importing.importer import import_folder
from curate.pose import keypoints, weights
from curate.pose.blazepose import BlazePose
from curate.pose.estimating import estimate
from curate.pose.people import COCO, NUMBER
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings
from tests.curate.known import Known

# COCO's categories as its annotations of 2017 have them.
NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
SIZES = [(120, 90), (64, 100), (80, 80)]  # of images that are not looked at here: people are told below


def told(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "annotations.json").read_text())
    return found


def picture(file: Path) -> Image.Image:
    with Image.open(file) as opened:
        return opened.convert("RGB")


def person(seed: int, low: float, high: float) -> np.ndarray:
    """Score, presence, joints, as an estimator's answer is kept: coordinates between `low` and `high`."""
    random = np.random.default_rng(seed)
    joints = random.uniform(low, high, (33, 5)).astype(np.float32)
    joints[:, 3:] = random.uniform(0, 1, (33, 2))
    return np.concatenate([[0.9 - 0.1 * seed, 0.8], joints.ravel()]).astype(np.float32)


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Three images in which two people, one and nobody were found, by an estimator that cannot be had here."""
    for number, size in enumerate(SIZES):
        file = tmp_path / "photos" / ("tree", "plank", "boat")[number] / f"{number}.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", size, (50 * number, 90, 120)).save(file)
    made = import_folder(tmp_path / "photos", tmp_path / "c", workers=1).collection
    monkeypatch.setattr(weights, "PACKAGE", "a-package-that-is-not-installed")
    monkeypatch.delenv(weights.VARIABLE, raising=False)

    images = made.images().sort_values("key", ascending=False)  # tree, plank, boat
    found = np.full((3, 2, keypoints.WIDTH), np.nan, np.float32)
    found[0] = [person(0, 5, 85), person(1, 10, 80)]
    found[1, 0] = person(2, -40, 130)  # of which a part lies beyond the picture
    joints = found[1, 0, 2:].reshape(33, 5)
    joints[NUMBER["left_knee"], :3] = np.nan  # a joint that is not known
    keypoints.write(made, keypoints.table_of(images, found, Known()))
    return made


@pytest.fixture
def exported(collection: Collection, tmp_path: Path) -> dict[str, Any]:
    export(collection, tmp_path / "out", name="unfiltered", form="coco")
    return told(tmp_path / "out")


def test_the_category_is_coco_s(exported: dict[str, Any]) -> None:
    (category,) = exported["categories"]
    assert (category["id"], category["name"], category["supercategory"]) == (1, "person", "person")
    assert tuple(category["keypoints"]) == NAMES
    named = {frozenset(category["keypoints"][end - 1] for end in bone) for bone in category["skeleton"]}
    assert len(named) == len(category["skeleton"]) == 19
    assert {frozenset(("left_ankle", "left_knee")), frozenset(("right_wrist", "right_elbow"))} <= named


def test_every_annotation_has_what_the_format_asks_for(exported: dict[str, Any]) -> None:
    images = {image["id"]: image for image in exported["images"]}
    assert len(images) == len(exported["images"]) == 3
    assert [one["id"] for one in exported["annotations"]] == [1, 2, 3]
    for one in exported["annotations"]:
        image = images[one["image_id"]]
        assert (one["category_id"], one["iscrowd"]) == (1, 0)
        left, top, width, height = one["bbox"]
        assert 0 <= left <= left + width <= image["width"] + 0.01
        assert 0 <= top <= top + height <= image["height"] + 0.01
        assert one["area"] == pytest.approx(width * height, abs=0.02 * (width + height))  # both are rounded
        assert len(one["keypoints"]) == 51
        joints = np.array(one["keypoints"]).reshape(17, 3)
        assert set(joints[:, 2]) <= {0, 1, 2}
        assert one["num_keypoints"] == (joints[:, 2] > 0).sum()
        assert (joints[joints[:, 2] == 0] == 0).all()
        seen = joints[joints[:, 2] > 0]
        assert ((seen[:, :2] >= 0) & (seen[:, :2] <= [image["width"], image["height"]])).all()


def test_people_stand_where_they_were_found_the_surest_first(collection: Collection, exported: dict[str, Any]) -> None:
    by_label = {image["label"]: image for image in exported["images"]}
    people = {
        label: [a for a in exported["annotations"] if a["image_id"] == by_label[label]["id"]] for label in by_label
    }
    assert {label: len(found) for label, found in people.items()} == {"tree": 2, "plank": 1, "boat": 0}
    assert [one["score"] for one in people["tree"]] == [0.9, 0.8]
    known = keypoints.read(collection)
    for one, wanted in zip(people["tree"], known.people(by_label["tree"]["content_id"]), strict=True):
        joints = np.array(one["keypoints"]).reshape(17, 3)
        assert np.allclose(joints[:, :2], wanted.joints[list(COCO), :2], atol=0.006)
        assert (joints[:, 2] == np.where(wanted.joints[list(COCO), 3] >= 0.5, 2, 1)).all()
        box = wanted.box
        assert np.allclose(one["bbox"], [*box[:2], *(box[2:] - box[:2])], atol=0.01)


def test_a_joint_that_is_not_known_or_beyond_the_picture_is_not_labelled(
    collection: Collection, exported: dict[str, Any]
) -> None:
    (image,) = (one for one in exported["images"] if one["label"] == "plank")
    (one,) = (one for one in exported["annotations"] if one["image_id"] == image["id"])
    (found,) = keypoints.read(collection).people(image["content_id"])
    joints = np.array(one["keypoints"]).reshape(17, 3)
    points = found.joints[list(COCO), :2]
    inside = np.all((points >= 0) & (points < [image["width"], image["height"]]), axis=1)
    assert 0 < inside.sum() < 16
    assert ((joints[:, 2] > 0) == inside).all()
    assert np.isnan(points[NAMES.index("left_knee")]).all()


def test_images_keep_their_class_and_say_which_they_are(collection: Collection, tmp_path: Path) -> None:
    decisions.relabel(collection, ["plank/1.png"], "tree")
    export(collection, tmp_path / "out", name="unfiltered", form="coco")
    wanted = training_set(collection, "unfiltered").images.to_dict("records")
    found = told(tmp_path / "out")
    assert [(one["key"], one["label"], one["content_id"]) for one in found["images"]] == [
        (row["key"], row["label"], row["id"]) for row in wanted
    ]
    for image, row in zip(found["images"], wanted, strict=True):
        file = tmp_path / "out/images" / image["file_name"]
        assert file.read_bytes() == collection.path(row["file"]).read_bytes()
        assert picture(file).size == (image["width"], image["height"])
        assert int(file.stem) == image["id"]
        assert image["looked_at"]
    assert found["info"]["estimator"] == "blazepose-full"
    assert training_set(collection, "unfiltered").digest in found["info"]["description"]


def test_a_collection_that_has_all_keypoints_may_be_read_only(
    collection: Collection, tmp_path: Path, read_only: Any
) -> None:
    read_only(collection.root)
    export(collection, tmp_path / "out", name="unfiltered", form="coco")
    assert len(told(tmp_path / "out")["annotations"]) == 3


def test_without_keypoints_and_without_weights_one_sentence_says_what_to_do(
    collection: Collection, tmp_path: Path
) -> None:
    (collection.root / keypoints.TABLE).unlink()
    with pytest.raises(FewposeError, match=r"no weights of BlazePose full here: .*--weights"):
        export(collection, tmp_path / "out", name="unfiltered", form="coco")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".writing-*"))


def test_images_that_nobody_can_look_at_are_told_from_those_without_people(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = keypoints.read(collection).table
    missing = collection.images().set_index("key")["id"]["boat/2.png"]
    keypoints.write(collection, pd.DataFrame(table[table["id"] != missing]))
    export(collection, tmp_path / "out", name="unfiltered", form="coco")
    assert {one["key"]: one["looked_at"] for one in told(tmp_path / "out")["images"]} == {
        "boat/2.png": False,
        "plank/1.png": True,
        "tree/0.png": True,
    }
    assert "nobody was looked for in 1 image, such as boat/2.png" in " ".join(capsys.readouterr().err.split())


def test_finding_what_is_missing_waits_for_nobody(collection: Collection, tmp_path: Path) -> None:
    (collection.root / keypoints.TABLE).unlink()
    with collection.locked(), pytest.raises(FewposeError, match="another command is changing"):
        export(Collection.open(collection.root), tmp_path / "out", name="unfiltered", form="coco")


@pytest.mark.slow
def test_what_is_missing_is_found_first_and_equal_sets_are_equal_bytes(tmp_path: Path, rendered_people: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(rendered_people, tmp_path / name / "photos")
        import_folder(tmp_path / name / "photos", tmp_path / name / "c", workers=1)
    one, two = (Collection.open(tmp_path / name / "c") for name in ("one", "two"))
    estimate(two, two.images().iloc[:4], PoseSettings(), WorkerSettings(workers=1))
    for made in (one, two):
        export(made, made.root.parent / "out", name="unfiltered", form="coco")
    assert (tmp_path / "one/out/annotations.json").read_bytes() == (tmp_path / "two/out/annotations.json").read_bytes()
    assert (one.root / keypoints.TABLE).read_bytes() == (two.root / keypoints.TABLE).read_bytes()
    found, estimator = told(tmp_path / "one/out"), BlazePose(weights.find())
    for image in found["images"]:
        (annotation,) = (each for each in found["annotations"] if each["image_id"] == image["id"])
        file = tmp_path / "one/out/images" / image["file_name"]
        (wanted,) = estimator.people(picture(file))
        joints = np.array(annotation["keypoints"]).reshape(17, 3)
        seen = joints[:, 2] > 0
        assert seen.sum() > 12
        assert np.allclose(joints[seen, :2], wanted.joints[list(COCO)][seen, :2], atol=0.01)
