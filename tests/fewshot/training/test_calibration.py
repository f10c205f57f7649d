"""The temperature is the one with the least log loss, and a number whatever the logits are."""

import numpy as np
import pytest
from scipy.special import log_softmax

from fewshot.training.calibration import FURTHEST, temperature


def loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def drawn(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn from their softmax: calibrated at a temperature of 1."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(images, classes))
    return logits, (logits + random.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("factor", [0.01, 1.0, 300.0])
def test_it_undoes_a_factor(factor: float) -> None:
    logits, labels = drawn(20000, 5, 0)
    assert temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)
    assert temperature(factor * logits + 7, labels) == pytest.approx(temperature(factor * logits, labels), rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_has_a_lower_loss(seed: int) -> None:
    logits, labels = drawn(60, 4, seed)
    best = temperature(logits, labels)
    here = loss(logits / best, labels)
    assert all(here <= loss(logits / other, labels) + 1e-7 for other in best * np.geomspace(0.05, 20, 401))


def test_logits_that_are_always_right_or_always_wrong_stay_within_their_spread() -> None:
    right = np.eye(4)[np.arange(12) % 4] * 3.0
    spread = right.std(axis=1).mean()
    assert temperature(right, np.arange(12) % 4) == pytest.approx(spread / FURTHEST, rel=1e-3)
    assert temperature(right, (np.arange(12) + 1) % 4) == pytest.approx(spread * FURTHEST, rel=1e-3)


def test_logits_that_are_all_alike_have_none_to_choose() -> None:
    assert temperature(np.full((6, 3), 2.5), np.array([0, 1, 2, 0, 1, 2])) == 1.0


def test_the_scores_of_a_class_that_does_not_occur_are_no_measure() -> None:
    """A class without training images has a score far below all others."""
    logits, labels = drawn(500, 4, 1)
    padded = np.insert(logits, 2, -1e3, axis=1)
    assert temperature(padded, labels + (labels >= 2)) == pytest.approx(temperature(logits, labels), rel=1e-3)
