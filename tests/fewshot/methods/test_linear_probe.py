"""The linear probe is scikit-learn's logistic regression, and all that it chooses it chooses on the draw."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fewshot.methods import linear_probe
from fewshot.methods.linear_probe import LinearProbe
from fewshot.task import Draw


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("counts", [(6, 6, 6), (5, 5), (7, 3, 5, 4)])
@pytest.mark.parametrize("strength", [0.5, 10.0, 320.0])
def test_it_equals_scikit_learn_s_logistic_regression(
    patterns: Callable, counts: tuple[int, ...], strength: float
) -> None:
    given = patterns(*counts)
    theirs = LogisticRegression(C=strength, max_iter=20000, tol=1e-9)
    theirs.fit(given.draw.images.features().astype(np.float64), given.draw.labels)
    ours = LinearProbe(strengths=(strength,), powers=(1.0,)).fit(given.draw, given.task)
    assert ours.chosen == {"C": strength, "power": 1.0}
    np.testing.assert_allclose(
        softmax(ours.logits(given.test)), theirs.predict_proba(given.test.features()), atol=1e-4, rtol=0
    )


def test_it_learns_the_patterns(patterns: Callable) -> None:
    given = patterns(8, 8, 8, 8)
    fitted = LinearProbe().fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.85


def test_the_power_normalisation_is_that_of_perronnin(patterns: Callable) -> None:
    given = patterns(6, 6, 6)
    fitted = LinearProbe(strengths=(10.0,), powers=(0.5,)).fit(given.draw, given.task)

    def powered(features: np.ndarray) -> np.ndarray:
        roots = np.sign(features) * np.sqrt(np.abs(features.astype(np.float64)))
        return roots / np.linalg.norm(roots, axis=1, keepdims=True)

    theirs = LogisticRegression(C=10.0, max_iter=20000, tol=1e-9)
    theirs.fit(powered(given.draw.images.features()), given.draw.labels)
    np.testing.assert_allclose(
        softmax(fitted.logits(given.test)), theirs.predict_proba(powered(given.test.features())), atol=1e-4, rtol=0
    )


def test_the_strength_and_power_are_those_that_guess_most_of_the_held_out_folds(
    patterns: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With made-up counts of right guesses: neighbours count half, the first of equals wins."""
    given = patterns(6, 6, 6)
    counts = {1.0: [9.0, 17.0, 9.0, 12.0, 12.0], 0.5: [9.0, 12.0, 14.0, 14.0, 13.0]}
    rights = iter(counts.values())
    monkeypatch.setattr(LinearProbe, "_right", lambda *arguments: np.array(next(rights)))
    assert LinearProbe().fit(given.draw, given.task).chosen == {"C": 100.0, "power": 0.5}


def test_the_strength_is_chosen_by_what_the_folds_say(patterns: Callable) -> None:
    """Of an absurdly weak and a sensible strength, the one that classifies held-out images wins, in either order."""
    given = patterns(8, 8, 8)
    noisy = dataclasses.replace(given.draw, labels=np.roll(given.draw.labels, 1))
    for strengths in ((1e-9, 1e-9, 10.0, 10.0), (10.0, 10.0, 1e-9, 1e-9)):
        probe = LinearProbe(strengths=strengths, powers=(1.0,))
        assert probe.fit(given.draw, given.task).chosen["C"] == 10.0
        assert probe.fit(noisy, given.task).chosen["C"] == 10.0


def test_only_the_draw_is_looked_at(patterns: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = patterns(6, 6, 6, tested=1), patterns(6, 6, 6, tested=9)
    one, two = LinearProbe().fit(given.draw, given.task), LinearProbe().fit(other.draw, other.task)
    assert one.chosen == two.chosen
    np.testing.assert_array_equal(one.logits(given.draw.images), two.logits(given.draw.images))


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 5, 5), (2, 2)])
def test_draws_too_small_to_hold_anything_back_still_give_a_probe(patterns: Callable, counts: tuple[int, ...]) -> None:
    given = patterns(*counts)
    fitted = LinearProbe().fit(given.draw, given.task)
    assert fitted.logits(given.test).shape == (4 * len(counts), len(counts))
    assert np.isfinite(fitted.logits(given.test)).all()
    if 1 in counts:
        assert fitted.chosen == {"C": 32.0, "power": 1.0}  # the middle one
    assert (fitted.logits(given.draw.images).argmax(axis=1) == given.draw.labels).mean() >= 0.75


def test_a_class_of_which_all_images_are_copies_is_no_trouble(patterns: Callable) -> None:
    given = patterns(4, 4)
    draw = Draw(given.draw.images, given.draw.labels, np.array([0, 0, 0, 0, 1, 2, 3, 4]))
    assert np.isfinite(LinearProbe().fit(draw, given.task).logits(given.test)).all()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_class_without_a_training_image_is_never_answered(patterns: Callable, missing: int) -> None:
    given = patterns(*(0 if kind == missing else 5 for kind in range(3)))
    logits = LinearProbe().fit(given.draw, given.task).logits(given.test)
    assert logits.shape[1] == 3
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) != missing).all()
    known = given.truth != missing
    assert (logits.argmax(axis=1) == given.truth)[known].mean() > 0.7


def test_one_class_alone_is_always_answered(patterns: Callable) -> None:
    given = patterns(0, 5, 0)
    assert (LinearProbe().fit(given.draw, given.task).logits(given.test).argmax(axis=1) == 1).all()


def test_the_rotation_is_exact() -> None:
    for shape in ((5, 40), (40, 5)):
        features = np.random.default_rng(0).normal(size=shape)
        coordinates, basis = linear_probe._rotate(features)
        assert coordinates.shape == (shape[0], 5)
        np.testing.assert_allclose(coordinates @ basis, features, atol=1e-10)
        np.testing.assert_allclose(basis @ basis.T, np.eye(5), atol=1e-10)


def test_its_weights_are_what_it_scores_with(patterns: Callable) -> None:
    given = patterns(5, 5, 5)
    fitted = LinearProbe(powers=(1.0,)).fit(given.draw, given.task)
    logits = given.test.features() @ fitted.weights["weights"].T + fitted.weights["bias"]
    np.testing.assert_allclose(fitted.logits(given.test), logits, atol=1e-4)
