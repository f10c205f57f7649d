"""The operator "Same posture": the nearest by keypoints, or one sentence that says why there are none."""

from pathlib import Path
from typing import Any

import pytest

from curate.app import same_posture
from curate.app.dataset import build
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.pose import keypoints
from curate.pose.people import OTHER_SIDE, Person
from tests.curate.app.conftest import make_collection
from tests.curate.app.test_body import find, person
from tests.curate.app.test_plugin import run, samples

pytestmark = [
    pytest.mark.app,
    pytest.mark.usefixtures("fiftyone_database"),
    # FiftyOne's own, which come up wherever it is first used.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def mirrored(one: Person) -> Person:
    joints = one.joints[list(OTHER_SIDE)].copy()
    joints[:, 0] = 64 - joints[:, 0]
    return Person(one.score, one.presence, joints)


def bent(one: Person, by: float) -> Person:
    """The same person with the left leg `by` pixels lower."""
    joints = one.joints.copy()
    joints[[25, 27, 29, 31], 1] += by
    return Person(one.score, one.presence, joints)


PEOPLE = {
    "boat/0.png": [person(1)],
    "boat/1.png": [bent(person(1), 9), person(1)],  # by the surest alone
    "boat/2.png": [],
    "tree/0.png": [bent(person(1), 3)],
    "tree/1.png": [mirrored(person(1))],
}
NEAREST = ["tree/1.png", "tree/0.png", "boat/1.png"]


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = make_collection(tmp_path / "my yoga", ["boat", "tree"])
    find(made, PEOPLE)
    return made


@pytest.fixture
def built(collection: Collection) -> Any:
    return build(collection)


def nearest(collection: Collection, dataset: Any, *keys: str, number: int = 30) -> list[str]:
    """The keys of what is shown."""
    shown = same_posture.nearest(collection, dataset, samples(dataset, *keys), number)
    return list(dataset.select(shown, ordered=True).values("key"))


def test_the_nearest_come_first_mirrored_or_not_and_nobody_never(collection: Collection, built: Any) -> None:
    assert nearest(collection, built, "boat/0.png") == ["boat/0.png", *NEAREST]
    assert nearest(collection, built, "boat/0.png", number=2) == ["boat/0.png", *NEAREST[:2]]


def test_the_operator_shows_them_and_says_how_many(built: Any) -> None:
    import fiftyone.operators as foo

    [chosen] = samples(built, "boat/0.png")
    context = {"dataset": built, "selected": [chosen], "params": {}}
    done = foo.execute_operator("@fewpose/curation/same_posture", ctx=context)
    asked = {request.operator_uri: request.params for request in done.executor._requests}
    assert asked["notify"]["message"] == "3 images beside it, the nearest in posture first"
    [stage] = asked["set_view"]["view"]
    shown = dict(stage["kwargs"])
    assert shown["ordered"] is True
    assert built.select(shown["sample_ids"], ordered=True).values("key") == ["boat/0.png", *NEAREST]


@pytest.mark.parametrize("number", [0, 2])
def test_one_image_has_to_be_selected(built: Any, number: int) -> None:
    [said] = run("same_posture", built, built.values("id")[:number])
    assert said == "Select one image in the grid first: the others are compared with its posture"


def test_an_image_without_a_person_has_no_posture(built: Any) -> None:
    [said] = run("same_posture", built, samples(built, "boat/2.png"))
    assert said == "Nobody was found in boat/2.png, so there is no posture to compare with"


def test_where_nobody_was_looked_for_the_command_is_named(collection: Collection, built: Any) -> None:
    command = command_line("curate", "pose", collection.root)
    assert "'" in command  # the folder has a space
    [said] = run("same_posture", built, samples(built, "tree/2.png"))
    assert said == f"Nobody was looked for in tree/2.png yet: {command}"
    collection.file(keypoints.TABLE).unlink()
    [said] = run("same_posture", built, samples(built, "boat/0.png"))
    assert said == f"Nobody was looked for in the images yet: {command}"


def test_keypoints_that_are_damaged_are_a_sentence(collection: Collection, built: Any) -> None:
    collection.file(keypoints.TABLE).write_bytes(b"PAR1")
    with pytest.raises(FewposeError, match="is damaged"):
        nearest(collection, built, "boat/0.png")
    [said] = run("same_posture", built, samples(built, "boat/0.png"))
    assert "is damaged" in said


def test_keypoints_that_came_while_the_app_was_open_are_used(collection: Collection, built: Any) -> None:
    find(collection, PEOPLE | {"tree/2.png": [person(1)]})
    chosen, *found = nearest(collection, built, "boat/0.png", number=2)
    assert (chosen, set(found)) == ("boat/0.png", {"tree/1.png", "tree/2.png"})  # both are the same posture


def test_another_dataset_of_the_database_is_refused(collection: Collection) -> None:
    from curate.app import fiftyone_library

    theirs = fiftyone_library.fo().Dataset()
    [said] = run("same_posture", theirs, [])
    assert "was not made by curate app" in said
