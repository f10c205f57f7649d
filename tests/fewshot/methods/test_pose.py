"""The body alone names postures, wherever they are done; who is not there says nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from curate.pose.people import OTHER_SIDE
from fewshot.classifier import BodyClassifier
from fewshot.methods.pose import Pose
from fewshot.task import Images, ImageStore


def answered(given: Any, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What is said of the test images when their joints are changed."""
    return Pose().fit(given.draw, given.task).logits(changed(given.test, change))


def changed(images: Images, change: Callable[[np.ndarray], np.ndarray]) -> Images:
    store: ImageStore = dataclasses.replace(images.store, joints=lambda ids: change(images.joints()))
    return Images(store, images.ids)


def test_it_names_postures(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4, 4, 4, bodies=True)
    fitted = Pose().fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() >= 0.9
    assert fitted.chosen == {"without_person": 0}


@pytest.mark.parametrize("change", ["mirrored", "far away", "in large", "sides confused"])
def test_where_how_large_and_which_way_round_makes_no_difference(patterns: Callable[..., Any], change: str) -> None:
    def seen(joints: np.ndarray) -> np.ndarray:
        factor = {"mirrored": (-1, 1, 1, 1, 1), "in large": (7, 7, 7, 1, 1)}.get(change, (1,) * 5)
        moved = joints * np.array(factor, np.float32)
        if change == "far away":
            moved = moved + np.array([4000, -300, 0, 0, 0], np.float32)
        return moved[:, OTHER_SIDE] if change in ("mirrored", "sides confused") else moved

    given = patterns(4, 4, 4, bodies=True)
    usual = answered(given, lambda joints: joints)
    np.testing.assert_allclose(answered(given, seen), usual, atol=0.3)
    assert (answered(given, seen).argmax(axis=1) == usual.argmax(axis=1)).all()


def test_without_a_person_all_classes_are_alike_and_nothing_is_learned(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4, 4, bodies=True)

    def some(joints: np.ndarray) -> np.ndarray:
        joints = joints.copy()
        joints[::4] = np.nan
        return joints

    fitted = Pose().fit(dataclasses.replace(given.draw, images=changed(given.draw.images, some)), given.task)
    assert fitted.chosen == {"without_person": 3}
    logits = fitted.logits(changed(given.test, some))
    assert (np.ptp(logits, axis=1) == 0).tolist() == [place % 4 == 0 for place in range(len(logits))]
    nobody = changed(given.draw.images, lambda joints: joints * np.nan)
    nothing = Pose().fit(dataclasses.replace(given.draw, images=nobody), given.task)
    assert np.ptp(nothing.logits(given.test)) == 0


def test_joints_that_are_not_seen_are_no_reason_for_silence(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6, bodies=True)

    def without_feet(joints: np.ndarray) -> np.ndarray:
        joints = joints.copy()
        joints[:, 27:] = np.nan
        return joints

    logits = answered(given, without_feet)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == given.truth).mean() > 0.6


def test_a_class_without_images_is_never_answered(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 0, 4, bodies=True)
    assert 1 not in Pose().fit(given.draw, given.task).logits(given.test).argmax(axis=1)


def test_the_seed_decides_and_the_threads_do_not(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = patterns(4, 4, bodies=True)
    first = Pose().fit(given.draw, given.task).logits(given.test)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    np.testing.assert_array_equal(Pose().fit(given.draw, given.task).logits(given.test), first)
    other = Pose().fit(given.draw, dataclasses.replace(given.task, seed=2**40 + 1)).logits(given.test)
    assert (other != first).any()


def test_balanced_weights_are_learned_with(patterns: Callable[..., Any]) -> None:
    given = patterns(12, 2, bodies=True)
    plain = Pose().fit(given.draw, given.task).logits(given.test)
    balanced = dataclasses.replace(given.task, class_weights="balanced")
    assert (Pose().fit(given.draw, balanced).logits(given.test) != plain).any()


def test_what_is_kept_says_the_same(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4, bodies=True)
    fitted = Pose().fit(given.draw, given.task)
    made = fitted.classifier()
    assert isinstance(made, BodyClassifier)
    np.testing.assert_array_equal(made.logits(given.test.joints()), fitted.logits(given.test))
