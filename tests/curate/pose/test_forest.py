"""A forest as arrays says what scikit-learn's says, and arrays that are none are found out."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from curate.pose.forest import Forest


def data(labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(labels, size=120)
    return (random.normal(size=(120, 9)) + truth[:, None]).astype(np.float32), truth


@pytest.mark.parametrize("least", [1, 7])
@pytest.mark.parametrize("kind", [ExtraTreesClassifier, RandomForestClassifier])
def test_it_says_what_scikit_learn_says(kind: Any, least: int) -> None:
    features, labels = data(4)
    theirs = kind(20, min_samples_leaf=least, random_state=0).fit(features, labels)
    asked = np.concatenate([features, data(4, seed=1)[0]])
    ours = Forest.of(theirs)
    np.testing.assert_allclose(ours.probabilities(asked), theirs.predict_proba(asked), atol=1e-6)
    assert ours.wrong(4, 9) == ""


def test_features_at_a_threshold_go_where_they_go_in_scikit_learn() -> None:
    features, labels = data(3)
    theirs = ExtraTreesClassifier(5, random_state=0).fit(features, labels)
    thresholds = np.concatenate([tree.tree_.threshold for tree in theirs.estimators_])
    for near in (thresholds.astype(np.float32), np.nextafter(thresholds.astype(np.float32), np.float32(9))):
        asked = np.repeat(near[:, None], 9, axis=1)
        np.testing.assert_allclose(Forest.of(theirs).probabilities(asked), theirs.predict_proba(asked), atol=1e-6)


def test_labels_may_be_any_and_weights_count() -> None:
    features, labels = data(2)
    weights = np.where(labels == 1, 5.0, 1.0)
    theirs = ExtraTreesClassifier(9, min_samples_leaf=9, random_state=0).fit(features, labels * 3 + 2, weights)
    ours = Forest.of(theirs)
    assert ours.classes.tolist() == [2, 5]
    np.testing.assert_allclose(ours.probabilities(features), theirs.predict_proba(features), atol=1e-6)


def test_one_that_knows_nothing_says_nothing() -> None:
    empty = Forest.empty()
    assert empty.probabilities(np.zeros((3, 9), np.float32)).shape == (3, 0)
    assert empty.wrong(4, 9) == ""
    assert Forest.of(ExtraTreesClassifier(2).fit(*data(2))).probabilities(np.zeros((0, 9), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("below", lambda values: values * 0, "does not come before"),  # a circle
        ("above", lambda values: values + 10_000, "does not come before"),
        ("feature", lambda values: np.where(values == 3, 99, values), "out of range"),
        ("roots", lambda values: values - 1, "out of range"),
        ("votes", lambda values: values + 4, "out of range"),
        ("first", lambda values: values[::-1].copy(), "out of order"),
        ("shares", lambda values: values * 2, "sum to 1"),
        ("shares", lambda values: values * np.float32(np.nan), "none"),
        ("threshold", lambda values: values[1:], "differ in length"),
        ("classes", lambda values: values * 0, "twice"),
        ("threshold", lambda values: values.astype(np.float64), "shape or kind"),
    ],
)
def test_arrays_that_are_no_forest_are_found_out(name: str, change: Any, said: str) -> None:
    good = Forest.of(ExtraTreesClassifier(3, random_state=0).fit(*data(4)))
    values = change(getattr(good, name))
    if name != "threshold":
        values = values.astype(getattr(good, name).dtype)
    assert said in dataclasses.replace(good, **{name: values}).wrong(4, 9)
