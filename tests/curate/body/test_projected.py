"""Skeletons made from joint angles are what an estimator would find."""

from dataclasses import replace

import numpy as np
import pytest

from curate.body import projected
from curate.body.poses import named
from curate.body.skeleton import DOFS, Proportions, forward
from curate.pose.classifier import PostureClassifier, views
from curate.pose.people import JOINTS, NUMBER

POSES = [named(name) for name in ("tree", "plank", "downward_dog")]


def test_there_are_as_many_as_asked_of_each_pose_in_the_layout_of_keypoints() -> None:
    joints, numbers = projected.skeletons(POSES, views=5)
    assert joints.shape == (15, 33, 5)
    assert joints.dtype == np.float32
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert np.isfinite(joints).all()
    assert (joints[:, :, 3:] == 1).all()
    assert ((joints[:, :, :2] > -50) & (joints[:, :, :2] < 562)).all()
    # Who does a tree has the head up, and y goes down.
    assert (joints[:5, NUMBER["nose"], 1] < joints[:5, NUMBER["left_ankle"], 1]).all()


def test_nothing_is_made_of_nothing() -> None:
    for poses, count in (([], 5), (POSES, 0)):
        joints, numbers = projected.skeletons(poses, views=count)
        assert joints.shape == (0, 33, 5)
        assert numbers.shape == (0,)


def test_the_content_of_a_pose_decides_and_not_its_neighbours_nor_chance() -> None:
    whole, _ = projected.skeletons(POSES, views=4)
    alone, _ = projected.skeletons(POSES[1:2], views=4)
    np.testing.assert_array_equal(whole[4:8], alone)
    other, _ = projected.skeletons(POSES[1:2], views=4, seed=1)
    assert np.abs(other - alone).max() > 1


def test_ways_are_shown_by_their_shares() -> None:
    arms_up, lying = replace(named("tree").ways[0], share=1), replace(named("corpse").ways[0], share=3)
    pose = replace(arms_up, variants=(lying,))
    joints, _ = projected.skeletons([pose], views=8)
    upright = np.ptp(joints[:, :, 1], axis=1) > 1.5 * np.ptp(joints[:, :, 0], axis=1)
    assert upright.tolist() == [True] * 2 + [False] * 6


def test_a_digest_tells_the_poses() -> None:
    assert projected.digest(POSES) == projected.digest([*POSES])
    assert projected.digest(POSES) != projected.digest(POSES[:2])


def test_the_joints_of_a_person_who_stands_upright() -> None:
    people = Proportions()
    place = dict(zip(JOINTS, projected.joints_of(forward(np.zeros(len(DOFS)), people), people), strict=True))
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear", "heel", "foot_index", "index"):
        left, right = place[f"left_{name}"], place[f"right_{name}"]
        np.testing.assert_allclose(left, right * [-1, 1, 1], atol=1e-9)
        assert left[0] > 0
    order = ["eye", "shoulder", "elbow", "hip", "wrist", "knee", "ankle", "heel"]
    heights = [place[f"left_{name}"][1] for name in order]
    assert heights == sorted(heights, reverse=True)
    assert place["nose"][2] > place["left_eye"][2] > place["left_ear"][2]
    assert place["left_foot_index"][2] > place["left_heel"][2]
    assert place["left_thumb"][2] > place["left_index"][2] > place["left_pinky"][2]


@pytest.mark.slow
def test_a_classifier_of_some_skeletons_knows_others() -> None:
    joints, numbers = projected.skeletons(POSES, views=30)
    others, wanted = projected.skeletons(POSES, views=30, seed=1)
    fitted = PostureClassifier(views(joints), numbers)
    assert (fitted.classes[fitted.probabilities(views(others)).argmax(1)] == wanted).mean() > 0.95
