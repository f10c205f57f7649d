"""A posture is the same wherever, however large and from whichever side it is seen."""

import numpy as np
import pytest

from curate.pose import posture
from curate.pose.people import JOINTS, NUMBER, OTHER_SIDE

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(300, 80, (6, len(JOINTS), 2))
SEEN = RANDOM.uniform(0, 1, (6, len(JOINTS)))


def test_place_and_size_change_no_feature() -> None:
    moved = posture.features(POINTS * 3 + [40, -7], SEEN)
    assert np.allclose(moved, posture.features(POINTS, SEEN), atol=1e-4)


def test_features_are_finite_and_as_many_as_are_promised() -> None:
    found = posture.features(POINTS, SEEN)
    assert found.shape == (6, 178)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_all_joints_in_one_place_have_features() -> None:
    assert np.isfinite(posture.features(np.zeros((1, len(JOINTS), 2)), np.zeros((1, len(JOINTS))))).all()


def test_a_mirror_image_has_the_same_views() -> None:
    mirror = (POINTS * [-1, 1] + [640, 0])[:, OTHER_SIDE]
    ours = [posture.features(*view) for view in posture.views(POINTS, SEEN)]
    theirs = [posture.features(*view) for view in posture.views(mirror, SEEN[:, OTHER_SIDE])]
    for one, other in zip(ours, (theirs[1], theirs[0], theirs[3], theirs[2]), strict=True):
        assert np.allclose(one, other, atol=1e-4)
    assert not np.allclose(ours[0], ours[1], atol=0.1)


def test_the_other_side_of_the_other_side_is_the_same() -> None:
    assert [OTHER_SIDE[other] for other in OTHER_SIDE] == list(range(len(JOINTS)))
    assert JOINTS[OTHER_SIDE[NUMBER["left_knee"]]] == "right_knee"
    assert OTHER_SIDE[NUMBER["nose"]] == NUMBER["nose"]


def test_an_unknown_joint_takes_the_place_of_its_neighbour() -> None:
    points = POINTS.copy()
    points[:, NUMBER["left_wrist"]] = np.nan
    whole = posture.filled(points)
    assert (whole[:, NUMBER["left_wrist"]] == points[:, NUMBER["left_index"]]).all()
    known = np.isfinite(points)
    assert (whole[known] == points[known]).all()


def test_a_leg_that_is_not_seen_at_all_is_put_at_the_other_hip() -> None:
    points = POINTS.copy()
    for name in JOINTS:
        if name.startswith("left") and name.partition("_")[2] in ("hip", "knee", "ankle", "heel", "foot_index"):
            points[:, NUMBER[name]] = np.nan
    whole = posture.filled(points)
    assert np.isfinite(whole).all()
    assert (whole[:, NUMBER["left_hip"]] == points[:, NUMBER["right_hip"]]).all()


def test_an_unknown_joint_is_told_apart_from_a_known_one_at_the_same_place() -> None:
    points, seen = POINTS.copy(), SEEN.copy()
    points[:, NUMBER["left_wrist"]], seen[:, NUMBER["left_wrist"]] = np.nan, 0
    known = POINTS.copy()
    known[:, NUMBER["left_wrist"]] = known[:, NUMBER["left_index"]]
    assert not np.allclose(posture.features(points, seen), posture.features(known, SEEN), atol=1e-3)


@pytest.mark.parametrize("number", range(4))
def test_no_view_is_apart_from_the_posture_it_is_taken_for(number: int) -> None:
    view, _ = list(posture.views(POINTS, SEEN))[number]
    assert np.allclose(posture.distance(POINTS, view * 2 + 5), 0, atol=1e-4)


def test_the_distance_is_that_of_the_joints_that_differ() -> None:
    points = POINTS.copy()
    points[:, NUMBER["left_wrist"]] += 1e-9
    assert np.allclose(posture.distance(POINTS, points), 0, atol=1e-4)
    points[:, NUMBER["left_knee"]] += 60
    points[:, NUMBER["right_knee"]] += 60
    assert (posture.distance(POINTS, points) > 0.2).all()
    assert (posture.distance(POINTS[:-1], POINTS[1:]) > 0.5).all()
    assert np.allclose(posture.distance(POINTS, points), posture.distance(points, POINTS), atol=1e-5)


def test_all_distances_are_those_of_the_pairs() -> None:
    others = POINTS[::-1] * 1.5 + 3
    found = posture.distances(POINTS, others)
    assert found.shape == (len(POINTS), len(others))
    for number, other in enumerate(others):
        pair = posture.distance(POINTS, np.broadcast_to(other, POINTS.shape))
        np.testing.assert_allclose(found[:, number], pair, atol=1e-5)
    assert posture.distances(POINTS[:0], others).shape == (0, len(others))
