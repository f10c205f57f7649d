"""The scores against values by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from curate.sweeps.records import Predictions
from fewshot.measuring import metrics
from fewshot.measuring.metrics import UnusablePredictionsError, score


def predictions(labels: list[int], called: list[int], classes: int, confidence: float = 0.9) -> Predictions:
    """Predictions that name `called`, each with this probability."""
    rest = (1 - confidence) / (classes - 1)
    logits = np.full((len(labels), classes), np.log(rest), np.float32)
    logits[np.arange(len(labels)), called] = np.log(confidence)
    return Predictions(logits, np.array(labels, np.int64), np.array([f"{i}.jpg" for i in range(len(labels))]))


def test_by_hand() -> None:
    found = score(predictions([0, 0, 0, 1], [0, 0, 1, 1], classes=3, confidence=0.9))
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.accuracy == 3 / 4
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)  # class 2 occurs nowhere and isn't counted
    assert found.ece == pytest.approx(0.9 - 0.75, abs=1e-6)  # one bin


def test_a_class_without_test_images_that_is_predicted_counts_as_zero() -> None:
    found = score(predictions([0, 0], [0, 2], classes=3))
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert found.balanced_accuracy == 0.5


def test_calibration_error_weighs_bins_by_images() -> None:
    low = predictions([0] * 6, [0, 0, 0, 1, 1, 1], classes=2, confidence=0.7)  # right half of the time: 0.2 off
    high = predictions([0] * 2, [0, 0], classes=2, confidence=0.95)  # always right: 0.05 off
    logits, labels = np.concatenate([low.logits, high.logits]), np.concatenate([low.labels, high.labels])
    assert metrics.calibration_error(logits, labels) == pytest.approx((6 * 0.2 + 2 * 0.05) / 8, abs=1e-6)


def test_over_and_under_confidence_in_one_bin_cancel_but_not_across_bins() -> None:
    logits = np.log(np.array([[0.61, 0.39], [0.65, 0.35]]))
    assert metrics.calibration_error(logits, np.array([0, 1])) == pytest.approx(abs(0.5 - 0.63))


def test_certainty_falls_into_the_last_bin() -> None:
    assert metrics.calibration_error(np.array([[1000.0, 0.0]]), np.array([0])) == 0.0


def test_small_label_types_do_not_overflow() -> None:
    counts = metrics.confusion(np.array([81], np.int8), np.array([81]), 82)
    assert counts[81, 81] == 1


@pytest.mark.slow
@given(st.integers(2, 8), st.data())
def test_like_scikit_learn(classes: int, data: st.DataObject) -> None:
    each = st.lists(st.integers(0, classes - 1), min_size=1, max_size=40)
    labels = data.draw(each)
    called = data.draw(st.lists(st.integers(0, classes - 1), min_size=len(labels), max_size=len(labels)))
    found = score(predictions(labels, called, classes))
    assert found.accuracy == pytest.approx(accuracy_score(labels, called))
    assert found.macro_f1 == pytest.approx(f1_score(labels, called, average="macro", zero_division=0))
    recall = recall_score(labels, called, labels=sorted(set(labels)), average="macro", zero_division=0)
    assert found.balanced_accuracy == pytest.approx(recall)
    assert (found.confusion == confusion_matrix(labels, called, labels=range(classes))).all()


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_calibration_error_as_written_in_the_paper(images: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, labels = random.normal(0, 3, (images, classes)), random.integers(0, classes, images)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            expected += inside.sum() / images * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "no test image"),
        (np.array([[0.0, np.nan]]), np.array([0]), "finite"),
        (np.array([[0.0, np.inf]]), np.array([0]), "finite"),
        (np.zeros((2, 3)), np.array([0]), "fit"),
        (np.zeros(3), np.array([0]), "fit"),
        (np.zeros((1, 3)), np.array([3]), "labels run"),
        (np.zeros((1, 3)), np.array([-1]), "labels run"),
    ],
)
def test_what_cannot_be_scored_is_said(logits: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(UnusablePredictionsError, match=said):
        score(Predictions(logits, labels, np.array(["a"] * len(labels))))
