"""Paired accuracies: counted by hand, and the interval against its definition."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from fewshot.exporting import quantisation_error


def one_hot(answers: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[answers]


def test_answers_are_counted_in_pairs() -> None:
    labels = np.array([0, 1, 2, 0, 1])
    found = quantisation_error.compare(one_hot([0, 1, 2, 1, 0]), one_hot([0, 1, 1, 0, 2]), labels)
    assert (found.images, found.only_fp32, found.only_int8) == (5, 1, 1)
    assert (found.accuracy_fp32, found.accuracy_int8, found.difference) == (0.6, 0.6, 0.0)
    assert found.agreement == pytest.approx(0.4)
    assert found.largest_change == 1.0


def test_a_loss_has_the_sign_of_a_loss() -> None:
    found = quantisation_error.compare(one_hot([0, 1, 2]), one_hot([0, 1, 0]), np.array([0, 1, 2]))
    assert found.difference == pytest.approx(-1 / 3)
    assert found.low < found.difference < found.high


def test_where_nothing_differs_the_interval_still_has_a_width() -> None:
    low, high = quantisation_error.interval(0, 0, 100)
    expected = 1.959964**2 / (100 + 1.959964**2)  # where difference * n / (1 - difference) = z²
    assert (low, high) == pytest.approx((-expected, expected))


@pytest.mark.parametrize(("gained", "lost", "pairs"), [(2, 9, 60), (0, 5, 40), (7, 0, 300), (30, 31, 100), (0, 10, 10)])
def test_its_ends_are_where_the_score_is_a_normal_quantile(gained: int, lost: int, pairs: int) -> None:
    low, high = quantisation_error.interval(gained, lost, pairs)
    assert -1 <= low <= (gained - lost) / pairs <= high <= 1
    for end, expected in ((low, 1.959964), (high, -1.959964)):
        if abs(end) < 0.999:
            assert by_likelihood(gained, lost, pairs, end) == pytest.approx(expected, abs=2e-3)


def by_likelihood(gained: int, lost: int, pairs: int, difference: float) -> float:
    """The score with the variance at the likeliest shares of a true `difference`, which are searched for."""

    def unlikelihood(losing: float) -> float:
        counts = [gained, lost, pairs - gained - lost]
        chances = [losing + difference, losing, 1 - 2 * losing - difference]
        return -sum(n * math.log(max(p, 1e-300)) for n, p in zip(counts, chances, strict=True) if n)

    least, most = max(0.0, -difference), (1 - difference) / 2
    losing = minimize_scalar(unlikelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    variance = pairs * (2 * losing + difference - difference**2)
    return (gained - lost - pairs * difference) / math.sqrt(variance)
