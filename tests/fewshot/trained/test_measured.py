"""What a model's own numbers are: accuracy, interval, calibration, and what is chosen on images held back."""

import numpy as np
import pytest

from fewshot.logits import softmax
from fewshot.measuring.metrics import calibration_error
from fewshot.trained.held_back import HeldBack
from fewshot.trained.measured import interval, measured
from fewshot.training.calibration import temperature

RANDOM = np.random.default_rng(5)
LABELS = RANDOM.integers(0, 3, 90)
LOGITS = (4 * (LABELS[:, None] == np.arange(3)) + RANDOM.normal(0, 3, (90, 3))).astype(np.float32)
FOLD = np.arange(90) % 3
HELD = HeldBack(LOGITS, LABELS, np.arange(90), FOLD)


def test_an_images_probabilities_are_by_a_temperature_that_has_not_seen_it() -> None:
    said = HELD.probabilities()
    for fold in range(3):
        rest = fold != FOLD
        expected = softmax(LOGITS[~rest] / np.float32(temperature(LOGITS[rest], LABELS[rest])))
        np.testing.assert_allclose(said[~rest], expected, rtol=1e-5)
    changed = LABELS.copy()
    changed[FOLD == 0] = (changed[FOLD == 0] + 1) % 3
    other = HeldBack(LOGITS, changed, np.arange(90), FOLD).probabilities()
    np.testing.assert_array_equal(other[FOLD == 0], said[FOLD == 0])
    assert np.abs(other - said)[FOLD != 0].max() > 0.01


def test_a_single_fold_is_calibrated_by_itself() -> None:
    alone = HeldBack(LOGITS, LABELS, np.arange(90), np.zeros(90, int))
    np.testing.assert_allclose(alone.probabilities(), softmax(LOGITS / np.float32(alone.temperature())), rtol=1e-5)


@pytest.mark.parametrize("unknown", [0.05, 0.3])
def test_the_share_that_is_asked_for_lies_below_the_threshold(unknown: float) -> None:
    warmth = HELD.temperature()
    surest = softmax(LOGITS / np.float32(warmth)).max(axis=1)
    assert (surest < HELD.threshold(warmth, unknown)).mean() == pytest.approx(unknown, abs=1.5 / 90)


def test_accuracy_calibration_and_classes_are_those_of_the_definitions() -> None:
    said = measured(softmax(LOGITS), LABELS, np.arange(90), ("a", "b", "c"), 0.6)
    answers, surest = LOGITS.argmax(axis=1), softmax(LOGITS).max(axis=1)
    assert said["accuracy"] == pytest.approx((answers == LABELS).mean(), abs=1e-4)
    assert said["calibration_error"] == pytest.approx(calibration_error(LOGITS, LABELS), abs=1e-4)
    assert said["answered"] == pytest.approx((surest >= 0.6).mean(), abs=1e-4)
    assert said["accuracy_of_answered"] == pytest.approx((answers == LABELS)[surest >= 0.6].mean(), abs=1e-4)
    assert said["classes"]["b"] == {"images": (LABELS == 1).sum(), "right": ((answers == LABELS) & (LABELS == 1)).sum()}
    assert said["interval"][0] < said["accuracy"] < said["interval"][1]


def test_where_nothing_is_answered_its_accuracy_is_not_known() -> None:
    said = measured(np.full((6, 3), 1 / 3), np.zeros(6, int), np.arange(6), ("a", "b", "c"), 0.9)
    assert (said["answered"], said["accuracy_of_answered"]) == (0, None)


def test_the_interval_is_the_binomials_for_pictures_that_are_all_different() -> None:
    right = np.arange(400) < 340
    low, high = interval(right, np.arange(400))
    half = 1.96 * np.sqrt(0.85 * 0.15 / 400)
    assert (low, high) == pytest.approx((0.85 - half, 0.85 + half), abs=0.006)


def test_copies_of_a_picture_are_not_evidence_of_their_own() -> None:
    right = np.repeat(np.arange(40) < 34, 10)
    widths = [np.diff(interval(right, groups))[0] for groups in (np.arange(400), np.repeat(np.arange(40), 10))]
    assert widths[1] > 2.5 * widths[0]
