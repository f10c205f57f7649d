"""The linear probe is scikit-learn's logistic regression, and all that it chooses it chooses on the draw."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fewshot.methods import linear_probe
from fewshot.methods.linear_probe import LinearProbe
from fewshot.task import Draw, Fitted, Images, ImageStore
from fewshot.training.calibration import temperature
from fewshot.training.folds import folds


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(6, 6, 6), (5, 5), (7, 3, 5, 4)])
@pytest.mark.parametrize("strength", [0.5, 10.0, 320.0])
def test_it_equals_scikit_learn_s_logistic_regression(
    patterns: Callable[..., Any], counts: tuple[int, ...], strength: float
) -> None:
    given = patterns(*counts)
    theirs = LogisticRegression(C=strength, max_iter=20000, tol=1e-9)
    theirs.fit(given.draw.images.features().astype(np.float64), given.draw.labels)
    ours = LinearProbe(strengths=(strength,), powers=(1.0,)).fit(given.draw, given.task)
    assert (ours.chosen["C"], ours.chosen["power"]) == (strength, 1.0)
    np.testing.assert_allclose(
        softmax(ours.logits(given.test)), theirs.predict_proba(given.test.features()), atol=1e-4, rtol=0
    )


def test_it_learns_the_patterns(patterns: Callable[..., Any]) -> None:
    given = patterns(8, 8, 8, 8)
    fitted = LinearProbe().fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.85


def test_the_power_normalisation_is_that_of_perronnin(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6)
    fitted = LinearProbe(strengths=(10.0,), powers=(0.5,)).fit(given.draw, given.task)
    theirs = LogisticRegression(C=10.0, max_iter=20000, tol=1e-9)
    theirs.fit(powered(given.draw.images.features(), 0.5), given.draw.labels)
    np.testing.assert_allclose(
        softmax(fitted.logits(given.test)), theirs.predict_proba(powered(given.test.features(), 0.5)), atol=1e-4, rtol=0
    )


def test_a_plateau_beats_a_peak_and_the_first_of_equals_wins() -> None:
    assert linear_probe.plateau(np.array([[9, 17, 9, 12, 12], [9, 12, 14, 14, 13]])) == (1, 3)
    assert linear_probe.plateau(np.array([[9, 17, 9, 12, 12], [9, 17, 9, 12, 12]])) == (0, 1)
    assert linear_probe.plateau(np.array([[5]])) == (0, 0)


def powered(features: np.ndarray, power: float) -> np.ndarray:
    raised = np.sign(features) * np.abs(features.astype(np.float64)) ** power
    result: np.ndarray = raised / np.linalg.norm(raised, axis=1, keepdims=True)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_strength_power_and_temperature_are_those_of_a_plain_loop_with_scikit_learn(
    patterns: Callable[..., Any], class_weights: str
) -> None:
    """Held-out logits fold by fold, counted; and all of the chosen ones together for the temperature."""
    given = patterns(9, 7, 8, 12)
    labels = given.draw.labels.copy()
    labels[::5] = (labels[::5] + 1) % 4  # some are wrong, so that strengths differ in what they guess
    draw = dataclasses.replace(given.draw, labels=labels)
    probe, features = LinearProbe(), given.draw.images.features()
    held_out = np.zeros((2, 5, len(labels), 4))
    for place, power in enumerate(probe.powers):
        samples = powered(features, power)
        for number, strength in enumerate(probe.strengths):
            for fit, check in folds(draw, 5):
                weight = None if class_weights == "none" else class_weights
                model = LogisticRegression(C=strength, max_iter=20000, tol=1e-9, class_weight=weight)
                held_out[place, number, check] = model.fit(samples[fit], labels[fit]).decision_function(samples[check])
    right = (held_out.argmax(axis=-1) == labels).sum(axis=-1)
    assert right.min() < right.max()
    power, strength = linear_probe.plateau(right)
    chosen = probe.fit(draw, dataclasses.replace(given.task, class_weights=class_weights)).chosen
    assert (chosen["power"], chosen["C"]) == (probe.powers[power], probe.strengths[strength])
    assert chosen["temperature"] == pytest.approx(temperature(held_out[power, strength], labels), rel=1e-2)


def test_balanced_classes_are_scikit_learn_s(patterns: Callable[..., Any]) -> None:
    given = patterns(12, 3, 5)
    task = dataclasses.replace(given.task, class_weights="balanced")
    probe = LinearProbe(strengths=(10.0,), powers=(1.0,))
    theirs = LogisticRegression(C=10.0, max_iter=20000, tol=1e-9, class_weight="balanced")
    theirs.fit(given.draw.images.features().astype(np.float64), given.draw.labels)
    found = softmax(probe.fit(given.draw, task).logits(given.test))
    np.testing.assert_allclose(found, theirs.predict_proba(given.test.features()), atol=1e-4, rtol=0)
    assert np.abs(found - softmax(probe.fit(given.draw, given.task).logits(given.test))).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2**40])
def test_draws_that_are_fitted_together_come_out_as_alone(
    patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of several sizes, with a fold fewer, without any, and however many fit into memory."""
    monkeypatch.setattr(linear_probe, "CPU_BYTES", at_once)
    given = [patterns(*counts, seed=place) for place, counts in enumerate([(6, 6, 6), (3, 8, 5), (1, 5, 4), (6, 6, 5)])]
    together = LinearProbe().fit_batch([each.draw for each in given], [each.task for each in given])
    for each, fitted in zip(given, together, strict=True):
        assert isinstance(fitted, Fitted)
        alone = LinearProbe().fit(each.draw, each.task)
        assert fitted.chosen.pop("temperature", 0) == pytest.approx(alone.chosen.pop("temperature", 0), rel=1e-3)
        assert fitted.chosen == alone.chosen
        np.testing.assert_allclose(softmax(fitted.logits(each.test)), softmax(alone.logits(each.test)), atol=1e-6)


def test_the_same_batch_gives_the_same_bytes(patterns: Callable[..., Any]) -> None:
    given = [patterns(6, 6, 6), patterns(7, 5, 6)]
    one, two = (LinearProbe().fit_batch([each.draw for each in given], [each.task for each in given]) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        assert isinstance(first, Fitted) and isinstance(second, Fitted)
        assert first.chosen == second.chosen
        assert first.logits(given[0].test).tobytes() == second.logits(given[0].test).tobytes()


def test_features_that_are_not_numbers_fail_their_own_trial_alone(patterns: Callable[..., Any]) -> None:
    given = patterns(5, 5)
    images = given.draw.images
    spoilt = dict(images.store.features)
    spoilt[images.ids[3]] = np.full_like(spoilt[images.ids[3]], np.nan)
    broken = dataclasses.replace(given.draw, images=Images.of(ImageStore(images.store.pixels, spoilt), images.ids))
    first, second = LinearProbe().fit_batch([broken, given.draw], [given.task] * 2)
    assert isinstance(first, np.linalg.LinAlgError)
    assert isinstance(second, Fitted)
    assert (second.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.7
    with pytest.raises(np.linalg.LinAlgError):
        LinearProbe().fit(broken, given.task)


def test_more_images_than_features_are_solved_in_the_features(patterns: Callable[..., Any]) -> None:
    """The tiny model has fewer features than this draw has images."""
    given = patterns(40, 40, 40)
    features = given.draw.images.features().astype(np.float64)
    assert features.shape[0] > features.shape[1]
    theirs = LogisticRegression(C=32.0, max_iter=20000, tol=1e-9).fit(features, given.draw.labels)
    ours = LinearProbe(strengths=(32.0,), powers=(1.0,)).fit(given.draw, given.task)
    np.testing.assert_allclose(
        softmax(ours.logits(given.test)), theirs.predict_proba(given.test.features()), atol=1e-4, rtol=0
    )


@pytest.mark.slow
def test_the_strength_is_chosen_by_what_the_folds_say(patterns: Callable[..., Any]) -> None:
    """Of an absurdly weak and a sensible strength, the one that classifies held-out images wins, in either order."""
    given = patterns(8, 8, 8)
    noisy = dataclasses.replace(given.draw, labels=np.roll(given.draw.labels, 1))
    for strengths in ((1e-9, 1e-9, 10.0, 10.0), (10.0, 10.0, 1e-9, 1e-9)):
        probe = LinearProbe(strengths=strengths, powers=(1.0,))
        assert probe.fit(given.draw, given.task).chosen["C"] == 10.0
        assert probe.fit(noisy, given.task).chosen["C"] == 10.0


def test_only_the_draw_is_looked_at(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = patterns(6, 6, 6, tested=1), patterns(6, 6, 6, tested=9)
    one, two = LinearProbe().fit(given.draw, given.task), LinearProbe().fit(other.draw, other.task)
    assert one.chosen == two.chosen
    np.testing.assert_array_equal(one.logits(given.draw.images), two.logits(given.draw.images))


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 5, 5), (2, 2)])
def test_draws_too_small_to_hold_anything_back_still_give_a_probe(
    patterns: Callable[..., Any], counts: tuple[int, ...]
) -> None:
    given = patterns(*counts)
    fitted = LinearProbe().fit(given.draw, given.task)
    assert fitted.logits(given.test).shape == (4 * len(counts), len(counts))
    assert np.isfinite(fitted.logits(given.test)).all()
    if 1 in counts:
        assert fitted.chosen == {"C": 32.0, "power": 1.0}  # the middle one
    assert (fitted.logits(given.draw.images).argmax(axis=1) == given.draw.labels).mean() >= 0.75


def test_a_class_of_which_all_images_are_copies_is_no_trouble(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4)
    draw = Draw(given.draw.images, given.draw.labels, np.array([0, 0, 0, 0, 1, 2, 3, 4]))
    assert np.isfinite(LinearProbe().fit(draw, given.task).logits(given.test)).all()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_class_without_a_training_image_is_never_answered(patterns: Callable[..., Any], missing: int) -> None:
    given = patterns(*(0 if kind == missing else 5 for kind in range(3)))
    logits = LinearProbe().fit(given.draw, given.task).logits(given.test)
    assert logits.shape[1] == 3
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) != missing).all()
    known = given.truth != missing
    assert (logits.argmax(axis=1) == given.truth)[known].mean() > 0.7


def test_one_class_alone_is_always_answered(patterns: Callable[..., Any]) -> None:
    given = patterns(0, 5, 0)
    assert (LinearProbe().fit(given.draw, given.task).logits(given.test).argmax(axis=1) == 1).all()
