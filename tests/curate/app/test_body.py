"""The body in the App: fields and a skeleton from the keypoints of a collection, and no more than differs written."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from curate.app import body, fiftyone_library, writing
from curate.app.dataset import build
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.pose import keypoints
from curate.pose.people import BONES, JOINTS, NUMBER, Person
from tests.curate.app.conftest import make_collection

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_database")]

FIELDS = ["keypoints", "people", "inside"]
WRIST = NUMBER["left_wrist"]


class Known:
    """Who found the people."""

    name, digest, side = "blazepose-full", "0123456789abcdef", 640


def person(seed: int = 0, *, beyond: int = 0, unknown: Sequence[int] = ()) -> Person:
    """Somebody in a picture of 64 pixels.  beyond: how many joints lie below it.  unknown: joints by number."""
    random = np.random.default_rng(seed)
    joints = np.column_stack([random.uniform(0, 64, (len(JOINTS), 3)), random.uniform(0.5, 1, (len(JOINTS), 2))])
    joints[:beyond, 1] = 80
    joints[list(unknown)] = np.nan
    return Person(0.9, 0.8, joints.astype(np.float32))


def find(collection: Collection, people: dict[str, list[Person]]) -> None:
    """Write the keypoints of an estimator that looked at these images, by key, and found these people."""
    images = collection.images()
    images = images[images["key"].isin(people)]
    found = np.stack([keypoints.packed(people[key], 3) for key in images["key"]])
    keypoints.write(collection, keypoints.table_of(images, found, Known()))  # type: ignore[arg-type]


PEOPLE = {
    "boat/0.png": [person(1), person(2)],
    "boat/1.png": [],
    "tree/0.png": [person(3, beyond=11, unknown=[WRIST])],
}


@pytest.fixture
def collection(collection: Collection) -> Collection:
    find(collection, PEOPLE)
    return collection


def field(dataset: Any, name: str) -> dict[str, Any]:
    return dict(zip(*dataset.values(["key", name]), strict=True))


def test_each_person_is_a_keypoint_of_33_joints_and_nobody_is_none(collection: Collection) -> None:
    dataset = build(collection)
    shown = field(dataset, "keypoints")
    assert [len(shown[key].keypoints) if shown[key] else 0 for key in sorted(shown)] == [2, 0, 0, 1, 0, 0]
    for found, there in zip(shown["boat/0.png"].keypoints, PEOPLE["boat/0.png"], strict=True):
        assert found.label == "person"
        assert np.allclose(found.points, there.joints[:, :2] / 64, atol=1e-5)
        assert np.allclose(found.confidence, there.joints[:, 3], atol=1e-5)
    [half] = shown["tree/0.png"].keypoints
    assert [number for number, (x, y) in enumerate(half.points) if math.isnan(x) and math.isnan(y)] == [WRIST]


def test_images_can_be_filtered_by_people_and_by_how_far_they_are_inside(collection: Collection) -> None:
    dataset, by = build(collection), fiftyone_library.fo().ViewField
    assert field(dataset, "people") == {
        **dict.fromkeys(("boat/2.png", "tree/1.png", "tree/2.png")),  # nobody was looked for
        "boat/0.png": 2,
        "boat/1.png": 0,
        "tree/0.png": 1,
    }
    assert field(dataset, "inside")["tree/0.png"] == pytest.approx(21 / 32)
    assert field(dataset, "inside")["boat/1.png"] is None
    assert dataset.match(by("people") > 1).values("key") == ["boat/0.png"]
    assert dataset.match(by("inside").exists() & (by("inside") < 0.9)).values("key") == ["tree/0.png"]


def test_the_skeleton_is_ours_and_the_grid_shows_labels_alone_at_first(collection: Collection) -> None:
    dataset = build(collection)
    skeleton = dataset.skeletons["keypoints"]
    assert skeleton.labels == list(JOINTS)
    assert [tuple(edge) for edge in skeleton.edges] == list(BONES)
    assert dataset.app_config.active_fields.paths == ["label"]


@pytest.mark.slow
def test_an_unchanged_collection_is_not_even_compared(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = field(build(collection), "last_modified_at")
    written = watched(monkeypatch)
    monkeypatch.delattr(body, "_write_points")
    assert field(build(collection), "last_modified_at") == before
    assert written == []


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The samples that are written from now on."""
    written: list[str] = []
    apply = writing.apply

    def also_noted(dataset: Any, updates: dict[str, Any]) -> None:
        written.extend(updates)
        apply(dataset, updates)

    monkeypatch.setattr(writing, "apply", also_noted)
    return written


@pytest.mark.slow
def test_only_images_whose_people_are_others_are_written_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = build(collection)
    find(collection, PEOPLE | {"boat/0.png": [person(1)], "tree/1.png": [person(4)]})
    written = watched(monkeypatch)
    shown = field(build(collection), "keypoints")
    assert set(written) == {dataset.one({"key": key}).id for key in ("boat/0.png", "tree/1.png")}
    assert len(shown["boat/0.png"].keypoints) == len(shown["tree/1.png"].keypoints) == 1


@pytest.mark.slow
def test_samples_that_were_made_again_get_their_points(collection: Collection) -> None:
    dataset = build(collection)
    dataset.delete_samples(dataset.match({"key": "tree/0.png"}))
    assert len(field(build(collection), "keypoints")["tree/0.png"].keypoints) == 1


@pytest.mark.slow
def test_a_field_that_was_deleted_in_the_app_comes_back(collection: Collection) -> None:
    build(collection).delete_sample_fields(["keypoints", "inside"])
    dataset = build(collection)
    assert len(field(dataset, "keypoints")["tree/0.png"].keypoints) == 1
    assert field(dataset, "inside")["tree/0.png"] == pytest.approx(21 / 32)


@pytest.mark.slow
def test_without_keypoints_the_fields_and_the_skeleton_go(collection: Collection) -> None:
    build(collection)
    collection.file(keypoints.TABLE).unlink()
    dataset = build(collection)
    assert not any(dataset.has_sample_field(name) for name in FIELDS)
    assert "keypoints" not in dataset.skeletons
    assert not {"body", "keypoints"} & set(dataset.info["fewpose"])
    find(collection, PEOPLE)
    assert len(field(build(collection), "keypoints")["tree/0.png"].keypoints) == 1


@pytest.mark.slow
def test_a_field_of_that_name_that_somebody_made_stays(collection: Collection) -> None:
    table = collection.file(keypoints.TABLE)
    before = table.read_bytes()
    table.unlink()
    build(collection).set_values("people", {"tree/0.png": "Anna"}, key_field="key")
    table.write_bytes(before)
    assert field(build(collection), "people")["tree/0.png"] == "Anna"
    assert field(build(collection), "inside")["tree/0.png"] == pytest.approx(21 / 32)
    table.unlink()
    dataset = build(collection)
    assert field(dataset, "people")["tree/0.png"] == "Anna"
    assert not dataset.has_sample_field("inside")


def test_before_anybody_was_looked_for_there_are_no_fields(tmp_path: Any) -> None:
    dataset = build(make_collection(tmp_path / "yoga", ["boat"]))
    assert not any(dataset.has_sample_field(name) for name in FIELDS)


def test_damaged_keypoints_are_a_sentence(collection: Collection) -> None:
    collection.file(keypoints.TABLE).write_bytes(b"PAR1")
    with pytest.raises(FewposeError, match=r"keypoints\.parquet is damaged .* delete it: curate pose"):
        build(collection)
