"""Which parts of a body decide: their Shapley values of a class's log odds."""

import numpy as np
import pytest

from curate.pose.forest import Forest
from curate.pose.people import JOINTS, NUMBER
from curate.pose.posture import KEPT, WIDTH
from fewshot.classifier import BodyClassifier
from fewshot.explaining.joints import PARTS, contributions, log_odds, with_parts

Postures = tuple[BodyClassifier, np.ndarray]
HEAD, LEFT_WRIST, LEFT_ANKLE = 0, 5, 11


def by_the_nose(classes: int = 2) -> BodyClassifier:
    """One that asks how sure the nose is, and nothing else: class 1 where it is, class 0 where it is not."""
    arrays = {
        "classes": [0, 1], "roots": [0], "feature": [WIDTH - len(KEPT) + KEPT.index(NUMBER["nose"]), -1, -1],
        "threshold": [0.5, 0, 0], "below": [1, 0, 0], "above": [2, 0, 0], "first": [0, 0, 1, 2], "votes": [0, 1],
        "shares": [1, 1],
    }  # fmt: skip
    forest = Forest(**{name: np.array(arrays[name], kind) for name, kind in Forest.KINDS.items()})
    assert not forest.wrong(classes, WIDTH)
    return BodyClassifier(forest, classes)


def test_the_parts_are_the_whole_body_and_no_joint_twice() -> None:
    assert sorted(joint for part in PARTS for joint in part) == list(range(len(JOINTS)))
    assert [JOINTS[PARTS[number][0]] for number in (HEAD, LEFT_WRIST, LEFT_ANKLE)] == [
        *("nose", "left_wrist", "left_ankle")
    ]


def test_what_is_taken_away_is_not_known_and_the_rest_is_as_it_was(postures: Postures) -> None:
    joints = postures[1][0]
    some = with_parts(joints, np.array([[True] * 13, [False] * 13, np.arange(13) == LEFT_WRIST]))
    np.testing.assert_array_equal(some[0], joints)
    assert np.isnan(some[1]).all()
    hand = list(PARTS[LEFT_WRIST])
    np.testing.assert_array_equal(some[2, hand], joints[hand])
    assert np.isnan(np.delete(some[2], hand, axis=0)).all()


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.log(chances / (1 - chances))[:, [2, 0]]
    np.testing.assert_allclose(log_odds(logits, [2, 0]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_contributions_add_up_to_the_whole_bodys_odds_less_nobodys(postures: Postures) -> None:
    classifier, bodies = postures
    for joints in bodies[[0, 9]]:
        added = contributions(classifier, joints, [0, 3])
        both = log_odds(classifier.logits(np.stack([joints, np.full_like(joints, np.nan)])), [0, 3])
        np.testing.assert_allclose(added.sum(axis=1), both[0] - both[1], atol=1e-6)


@pytest.mark.slow
def test_they_are_what_is_added_on_average_over_orders(postures: Postures) -> None:
    """Thousands of orders that are drawn at random, walked one by one."""
    classifier, bodies = postures
    orders, parts = 4000, len(PARTS)
    random = np.random.default_rng(0)
    step = np.stack([random.permutation(parts) for _ in range(orders)])  # at which each part becomes known
    known = step[:, None] < np.arange(parts + 1)[:, None]
    asked, place = np.unique(known.reshape(-1, parts), axis=0, return_inverse=True)
    odds = log_odds(classifier.logits(with_parts(bodies[0], asked)), [0])[place.ravel(), 0]
    gains = np.diff(odds.reshape(orders, parts + 1), axis=1)
    each = np.take_along_axis(gains, step, axis=1)
    error = each.std(axis=0) / np.sqrt(orders)
    assert (np.abs(contributions(classifier, bodies[0], [0])[0] - each.mean(axis=0)) < 4 * error).all()


@pytest.mark.slow
def test_the_part_that_a_classifier_goes_by_has_the_most(postures: Postures) -> None:
    added = contributions(by_the_nose(), postures[1][0], [1, 0])
    assert added[0].argmax() == HEAD and (np.delete(added[0], HEAD) <= 0).all()
    np.testing.assert_allclose(added[1], -added[0])  # what speaks for the one speaks against the other


@pytest.mark.slow
def test_a_part_that_is_not_known_adds_nothing(postures: Postures) -> None:
    joints = postures[1][0].copy()
    joints[list(PARTS[HEAD])] = np.nan
    assert contributions(by_the_nose(), joints, [1])[0, HEAD] == 0
    added = contributions(postures[0], joints, [0, 1])
    assert (added[:, HEAD] == 0).all() and np.count_nonzero(added) > 0


def test_of_nobody_nothing_adds_anything(postures: Postures) -> None:
    assert not contributions(postures[0], np.full((33, 5), np.nan, np.float32), [0, 1]).any()


@pytest.mark.slow
def test_the_same_body_has_the_same_contributions_whatever_else_is_asked(postures: Postures) -> None:
    classifier, bodies = postures
    alone = contributions(classifier, bodies[3], [2])
    np.testing.assert_allclose(contributions(classifier, bodies[3], [0, 2, 1])[1], alone[0], rtol=1e-9)


@pytest.mark.slow
def test_without_the_parts_that_decide_an_answer_falls_further_than_without_those_that_do_not(
    postures: Postures,
) -> None:
    classifier, bodies = postures
    bodies = bodies[1::4]  # one of each pose
    answers = classifier.logits(bodies).argmax(axis=1)
    falls = []
    for joints, answer in zip(bodies, answers.tolist(), strict=True):
        order = np.argsort(-contributions(classifier, joints, [answer])[0])
        kept = np.ones((3, len(PARTS)), bool)
        kept[1, order[:3]] = kept[2, order[-3:]] = False
        whole, without_most, without_least = log_odds(classifier.logits(with_parts(joints, kept)), [answer])[:, 0]
        falls.append((whole - without_most, whole - without_least))
    most, least = np.mean(falls, axis=0)
    assert most > 2 * least > 0
