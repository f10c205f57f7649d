"""Of the copies of a picture in a class the best one stays, whatever the order in which they came."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.people import scene_pair
from curate.body.poses import chosen
from curate.checks.rules import copies
from curate.checks.rules.rule import Inputs, Rule
from curate.collection import groups
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder
from curate.pose import keypoints, people, weights
from curate.pose.people import JOINTS, Person
from tests.curate.conftest import PEOPLE
from tests.curate.known import Known


def photo(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A figure of some sticks before a soft background."""
    random = np.random.default_rng(seed)
    light = random.integers(60, 200, (4, 4, 3)).astype(np.uint8)
    image = Image.fromarray(light).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        ends = [(float(x) * width, float(y) * height) for x, y in random.uniform(0.1, 0.9, (2, 2))]
        draw.line(ends, fill=tuple(int(c) for c in random.integers(0, 256, 3)), width=int(random.integers(8, 24)))
    return image


def save(image: Image.Image, path: Path, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=quality)


def run(rule: Rule[Any], collection: Collection) -> pd.DataFrame:
    with Signatures(collection) as signatures:
        inputs = Inputs(collection, collection.images(), signatures, None, "none", 1)
        return rule.run(inputs, rule.parameters).set_index("key").sort_index()


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Pictures 1 to 3 alone, and copies of them."""
    source = tmp_path / "photos"
    for seed in (1, 2, 3):
        save(photo(seed), source / f"tree/{seed}.jpg")
    shutil.copy(source / "tree/1.jpg", source / "tree/1-again.jpg")
    save(photo(2).resize((200, 150)), source / "tree/2-small.jpg")
    save(photo(2).resize((640, 480)), source / "tree/2-large.jpg")
    save(ImageOps.mirror(photo(3)).resize((240, 180)), source / "tree/3-mirrored.jpg", 50)
    save(photo(3), source / "plank/3.jpg", 70)  # a copy under another label is not this rule's business
    import_folder(source, tmp_path / "yoga")
    return Collection.open(tmp_path / "yoga")


def test_the_same_bytes_twice_are_one_too_many(collection: Collection) -> None:
    found = run(copies.EXACT_DUPLICATE, collection)
    assert found["score"].to_dict() == {"tree/1.jpg": 1.0}
    assert found["detail"].to_dict() == {"tree/1.jpg": "the same bytes as tree/1-again.jpg"}


@pytest.mark.slow
def test_the_largest_copy_stays(collection: Collection) -> None:
    found = run(copies.NEAR_DUPLICATE, collection)
    assert list(found.index) == ["tree/2-small.jpg", "tree/2.jpg"]
    assert set(found["detail"]) == {"copy of tree/2-large.jpg"}
    ids = collection.images().set_index("key")["id"]
    assert set(found["other"]) == {ids["tree/2-large.jpg"]}
    assert found["score"].between(0.95, 1).all()


@pytest.mark.slow
def test_a_mirrored_copy_is_told_apart(collection: Collection) -> None:
    found = run(copies.MIRRORED_DUPLICATE, collection)
    assert found["detail"].to_dict() == {"tree/3-mirrored.jpg": "mirrored copy of tree/3.jpg"}
    assert found["score"].between(0.95, 1).all()


@pytest.mark.slow
def test_among_copies_of_one_size_most_bytes_count(tmp_path: Path) -> None:
    save(photo(1), tmp_path / "photos/tree/a.jpg", 50)
    save(photo(1), tmp_path / "photos/tree/b.jpg", 95)
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    assert list(run(copies.NEAR_DUPLICATE, Collection.open(tmp_path / "yoga")).index) == ["tree/a.jpg"]


@pytest.mark.slow
def test_the_order_of_import_does_not_matter(tmp_path: Path) -> None:
    kept = []
    for number, order in enumerate((("large", "small", "mirrored"), ("mirrored", "small", "large"))):
        yoga = tmp_path / f"yoga{number}"
        for name in order:
            image = {"large": photo(1), "small": photo(1, 160, 120), "mirrored": ImageOps.mirror(photo(1))}[name]
            image = image.resize((160, 120)) if name == "small" else image
            save(image, tmp_path / f"{number}/{name}/tree/{name}.jpg", 80 if name == "mirrored" else 90)
            import_folder(tmp_path / f"{number}/{name}", yoga)
        collection = Collection.open(yoga)
        kept.append([run(rule, collection) for rule in (copies.NEAR_DUPLICATE, copies.MIRRORED_DUPLICATE)])
    for one, other in zip(*kept, strict=True):
        pd.testing.assert_frame_equal(one, other)
        assert "tree/large.jpg" not in one.index


@pytest.mark.slow
def test_the_copy_in_the_official_test_set_stays(tmp_path: Path) -> None:
    save(photo(1), tmp_path / "photos/a.jpg")
    save(photo(1).resize((160, 120)), tmp_path / "photos/b.jpg")
    save(photo(2), tmp_path / "photos/c.jpg")
    shutil.copy(tmp_path / "photos/c.jpg", tmp_path / "photos/d.jpg")
    with (tmp_path / "photos/list.csv").open("w", newline="") as file:
        rows = [("path", "label", "split"), ("a.jpg", "tree", "train"), ("b.jpg", "tree", "test")]
        csv.writer(file).writerows([*rows, ("c.jpg", "tree", "train"), ("d.jpg", "tree", "test")])
    import_folder(tmp_path / "photos/list.csv", tmp_path / "yoga")
    collection = Collection.open(tmp_path / "yoga")
    assert list(run(copies.NEAR_DUPLICATE, collection).index) == ["a.jpg"]
    assert list(run(copies.EXACT_DUPLICATE, collection).index) == ["c.jpg"]


@pytest.mark.slow
def test_a_chain_of_copies_is_scored_by_its_nearest_link(tmp_path: Path) -> None:
    """Each of these crops is a copy of the next one; the last is too far from the first to be laid over it."""
    for number in range(7):
        left = 14 * number
        save(photo(5, 480, 360).crop((left, 0, 360 + left, 360 - number)), tmp_path / f"photos/tree/{number}.jpg", 95)
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    collection = Collection.open(tmp_path / "yoga")
    assert collection.images()["group"].nunique() == 1
    found = run(copies.NEAR_DUPLICATE, collection)
    assert len(found) == 6
    assert found["score"].between(groups.FINE, 1).all()
    assert set(found["detail"]) == {"copy of tree/0.jpg"}


@pytest.mark.slow
def test_copies_whose_signatures_were_lost_are_copies_still(collection: Collection) -> None:
    shutil.rmtree(collection.cache("signatures"))
    found = run(copies.NEAR_DUPLICATE, collection)
    assert list(found.index) == ["tree/2-small.jpg", "tree/2.jpg", "tree/3-mirrored.jpg"]
    assert set(found["score"]) == {groups.FINE}
    assert found["detail"]["tree/2.jpg"] == "copy of tree/2-large.jpg"


def person(shape: int, shift: float = 0.0) -> Person:
    joints = np.ones((len(JOINTS), 5), np.float32)
    joints[:, :2] = np.random.default_rng(shape).uniform(20, 200, (len(JOINTS), 2)) + shift
    return Person(0.9, 0.9, joints)


def with_people(collection: Collection, people: dict[str, list[Person]]) -> None:
    """As if `curate pose` had found these people, by key."""
    images = collection.images()
    found = np.stack([keypoints.packed(people[key], 2) for key in images["key"]])
    keypoints.write(collection, keypoints.table_of(images, found, Known()))


@pytest.fixture
def gym(tmp_path: Path) -> Collection:
    """Three pictures by a camera that stood still, and a recompressed copy of the first."""
    for number in range(3):
        image = photo(5)
        left = 60 + 70 * number
        ImageDraw.Draw(image).ellipse((left, 100, left + 20, 120), fill="gray")  # what moves
        save(image, tmp_path / "photos" / "squat" / f"{number}.jpg")
        if number == 0:
            save(image, tmp_path / "photos" / "squat" / "copy.jpg", quality=60)
    import_folder(tmp_path / "photos", tmp_path / "collection")
    found = Collection.open(tmp_path / "collection")
    assert found.images()["group"].nunique() == 1
    return found


def kept(collection: Collection) -> set[str]:
    return set(collection.images()["key"]) - set(run(copies.NEAR_DUPLICATE, collection).index)


def test_pictures_of_other_postures_are_no_copies(gym: Collection) -> None:
    keys = [f"squat/{number}.jpg" for number in range(3)]
    standing, down, between = person(1), person(2), person(1, shift=3.0)  # moved a little: the same posture
    with_people(gym, {keys[0]: [standing], "squat/copy.jpg": [standing], keys[1]: [down], keys[2]: [between]})
    assert len(kept(gym)) == 2
    assert keys[1] in kept(gym)


@pytest.mark.parametrize("others", [[], [person(3), person(4)]], ids=["nobody", "two"])
def test_only_who_is_alone_shows_a_posture(gym: Collection, others: list[Person]) -> None:
    keys = [f"squat/{number}.jpg" for number in range(3)]
    with_people(gym, {keys[0]: [person(1)], "squat/copy.jpg": [person(1)], keys[1]: others, keys[2]: others})
    assert len(kept(gym)) == 1


def test_where_nobody_can_be_looked_for_copies_are_found_as_before(
    gym: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_files_of_package", dict)
    assert len(kept(gym)) == 1


def figure(image: Image.Image, upright: bool) -> tuple[Image.Image, np.ndarray]:
    """A small thick line on a picture, upright or lying; and joints (33, 5) along it."""
    place = np.linspace(-11, 11, len(JOINTS))
    points = np.stack([160 + place * (not upright), 120 + place * upright], axis=1)
    image = image.copy()
    ImageDraw.Draw(image).line([tuple(point) for point in points[[0, -1]].tolist()], fill="white", width=7)
    bent = points + 4 * np.sin(place)[:, None] * (upright, not upright)  # else all postures are a line
    return image, np.concatenate([bent, np.ones((len(JOINTS), 3))], axis=1).astype(np.float32)


def other_posture(joints: np.ndarray) -> np.ndarray:
    """Of the same size and in the same place."""
    return np.concatenate([np.random.default_rng(0).permutation(joints[:, :2]), joints[:, 2:]], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("same_picture", "same_joints", "copies_found"),
    [(True, True, 1), (True, False, 1), (False, True, 1), (False, False, 0)],
    ids=["copy", "copy with a mistaken joint", "moved a little", "another posture"],
)
def test_another_posture_is_a_copy_only_where_the_picture_is_the_same(
    tmp_path: Path, same_picture: bool, same_joints: bool, copies_found: int
) -> None:
    one, joints = figure(photo(1), upright=True)
    other, _ = figure(photo(1), upright=same_picture)
    save(one, tmp_path / "photos/tree/one.jpg", 95)
    save(other, tmp_path / "photos/tree/other.jpg", 60)
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    collection = Collection.open(tmp_path / "yoga")
    assert collection.images()["group"].nunique() == 1
    told = np.stack([joints, joints if same_joints else other_posture(joints)])
    rows = [
        (id, 0, 0.9, 0.9, *people.Person(0.9, 0.9, each).box, 1.0, "blazepose-full", "0", *each.ravel())
        for id, each in zip(collection.images().sort_values("key")["id"], told, strict=True)
    ]
    keypoints.write(collection, pd.DataFrame(rows, columns=list(keypoints.COLUMNS)))
    assert len(run(copies.NEAR_DUPLICATE, collection)) == copies_found


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [False, True])
def test_two_postures_are_seen_though_somebody_is_too_small_to_be_found_in_the_whole_picture(
    tmp_path: Path, mirrored: bool
) -> None:
    # Small people: the detector sees neither, or only the other one when mirrored.
    one, other = scene_pair(0, [*chosen("tree", PEOPLE), *chosen("all", PEOPLE.with_name("standing.yaml"))])
    (tmp_path / "photos" / "tree").mkdir(parents=True)
    save(one, tmp_path / "photos/tree/one.jpg", 95)
    save(one, tmp_path / "photos/tree/one again.jpg", 40)
    save(ImageOps.mirror(other) if mirrored else other, tmp_path / "photos/tree/other.jpg", 90)
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    collection = Collection.open(tmp_path / "yoga")
    assert collection.images()["group"].nunique() == 1
    rules = (copies.NEAR_DUPLICATE, copies.MIRRORED_DUPLICATE)
    assert [key for rule in rules for key in run(rule, collection).index] == ["tree/one again.jpg"]
    assert keypoints.read(collection).counts().sum() <= 1
