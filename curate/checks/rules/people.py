"""Rules on who is in a picture: nobody, several, a part of a body, somebody far away. They look at keypoints alone.

The thresholds were set by looking at the pictures around them, in photos18 and photos5_noisy (docs/curation.md).
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.rule import Inputs, Rule
from curate.collection.findings import Kind
from curate.pose.people import NUMBER, Person

# The ends of the limbs, and what holds them: where these are out of sight, a posture can't be told.
_LIMBS = [
    NUMBER[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
# Of a joint, below which it counts as missing. Where somebody is found in half a body, four joints below 0.9 tell 74 %
# of them, where 0.5 tells 59 %; of photos18 they flag 0.9 % instead of 0.5 % (rendered as in benchmarks/people.py).
_PRESENT = 0.9

_LEGS = [
    NUMBER[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle", "heel", "foot_index")
]  # fmt: skip
# Between a body and the picture's edge, in parts of the body's longer side, up to which the edge may have cut it.
_REACH = 0.05

Judge = Callable[[list[Person], int, int, Mapping[str, float]], tuple[float, str] | None]


def _scored(judge: Judge) -> Callable[[Inputs, Mapping[str, float]], pd.DataFrame]:
    """A rule's `run`. judge: from people (the surest first), width, height and parameters to a score and its words."""

    def run(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
        keypoints, found = inputs.keypoints, []
        seen = inputs.images[inputs.images["id"].isin(keypoints.ids())]
        for key, content_id, width, height in seen[["key", "id", "width", "height"]].itertuples(index=False):
            said = judge(keypoints.people(content_id), width, height, parameters)
            if said is not None:
                found.append((key, *said))
        return pd.DataFrame(found, columns=["key", "score", "detail"])

    run.__doc__ = judge.__doc__  # which curation.yaml quotes
    return run


def no_person(people: list[Person], _: int, __: int, ___: Mapping[str, float]) -> tuple[float, str]:
    """Nobody was found; of whom somebody was, 1 less how sure the detector is, and at most 0.49."""
    if not people:
        return 1.0, "no person"
    sure = people[0].score
    return min(1 - sure, 0.49), f"a person with confidence {sure:.2f}"


def several_people(people: list[Person], _: int, __: int, parameters: Mapping[str, float]) -> tuple[float, str] | None:
    """How sure the detector is of a second person who is no passer-by.

    parameters: `smallest`, the height or width of the second one as a part of the surest one's, below which they are
    background.
    """
    if not people:
        return None
    first = _extent(people[0])
    others = [(person.score, _extent(person) / first) for person in people[1:]]
    large = [(sure, part) for sure, part in others if part >= parameters["smallest"]]
    if not large:
        return 0.0, "one person"
    sure, part = max(large)
    return sure, f"{len(large) + 1} people, the second {part:.0%} of the first one's size"


def cropped_body(
    people: list[Person], width: int, height: int, parameters: Mapping[str, float]
) -> tuple[float, str] | None:
    """The part of the limbs' joints that are beyond the edge of the picture, or not in it for another reason.

    parameters: `legs`, how visible knees, ankles and feet are on average, below which they count as missing where the
    body reaches the picture's edge: of half a body, the estimator folds the legs that it misses into the picture.
    """
    if not people:
        return None
    joints = people[0].joints
    x, y, presence = joints[:, 0], joints[:, 1], joints[:, 4]
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (presence >= _PRESENT)
    if _room(people[0], width, height) < _REACH and np.nanmean(joints[_LEGS, 3]) < parameters["legs"]:
        within[_LEGS] = False
    missing = int((~within[_LIMBS]).sum())
    return missing / len(_LIMBS), f"{missing} of {len(_LIMBS)} joints are not in the picture"


def _room(person: Person, width: int, height: int) -> float:
    """Between a person and the nearest edge of the picture, in parts of their extent; negative beyond it."""
    left, top, right, bottom = person.box
    return float(min(left, top, width - right, height - bottom)) / max(_extent(person), 1e-6)


def small_person(
    people: list[Person], width: int, height: int, parameters: Mapping[str, float]
) -> tuple[float, str] | None:
    """The largest person is small in the picture; the score is 0.5 where they fill `min_part` of its shorter side."""
    if not people:
        return None
    part = max(_extent(person) for person in people) / min(width, height)
    return parameters["min_part"] / (parameters["min_part"] + part), f"{part:.0%} of the picture's shorter side"


def _extent(person: Person) -> float:
    """The longer side of the box around a person, in pixels."""
    left, top, right, bottom = person.box
    return float(max(right - left, bottom - top))


def _rule(
    name: str,
    title: str,
    judge: Judge,
    drops: bool,
    parameters: Mapping[str, float],
    *,
    version: int = 1,
    formerly: str = "",
) -> Rule[Inputs]:
    return Rule(name, title, version, Kind.CONTENT, drops, parameters, _scored(judge), formerly=formerly)


_FORMER = "not_one_person"  # of torchvision's detector, until version 0.1
PEOPLE = (
    _rule("no_person", "no person", no_person, False, {"threshold": 0.5}, formerly=_FORMER),
    _rule(
        "several_people",
        "several people",
        several_people,
        False,
        {"threshold": 0.66, "smallest": 0.5},
        formerly=_FORMER,
    ),
    _rule("cropped_body", "a part of a body", cropped_body, False, {"threshold": 0.3, "legs": 0.5}, version=2),
    _rule("small_person", "a small person", small_person, False, {"threshold": 0.5, "min_part": 0.3}),
)
