"""Fitted learning curves: exact on exact data, scipy's optimum, and intervals that hold what they promise."""

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot.measuring.curves import FURTHEST, fit, learning_curve

SHOTS = np.array([1, 2, 4, 8, 16, 32])


@given(st.floats(0.5, 1.0), st.floats(0.05, 0.5), st.floats(0.2, 2.0))
@settings(max_examples=30, deadline=None)
def test_an_exact_power_law_is_found_again(a: float, b: float, c: float) -> None:
    law = fit(SHOTS, (a - b * SHOTS**-c)[None])
    assert (law.a[0], law.c[0]) == (pytest.approx(a, abs=1e-4), pytest.approx(c, rel=1e-3))
    assert law.at(np.array([64]))[0, 0] == pytest.approx(a - b * 64**-c, abs=1e-4)


@pytest.mark.slow
@given(st.lists(st.floats(0.05, 0.95), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_no_curve_that_is_allowed_fits_better(values: list[float]) -> None:
    means = np.sort(values)
    law = fit(SHOTS, means[None])
    ours = float(((law.at(SHOTS)[0] - means) ** 2).sum())

    def residuals(p: np.ndarray) -> np.ndarray:
        result: np.ndarray = p[0] - p[1] * SHOTS ** -p[2] - means
        return result

    for start in ([0.9, 0.5, 0.5], [1.0, 0.9, 0.1], [0.6, 0.3, 2.0]):
        theirs = scipy.optimize.least_squares(residuals, start, bounds=([0, 0, 0.01], [1, np.inf, 4]))
        assert ours <= 2 * theirs.cost + 1e-9


def test_many_curves_at_once_are_those_one_by_one() -> None:
    means = np.random.default_rng(0).uniform(0.2, 0.9, (20, 6)).cumsum(axis=1) / np.arange(1, 7)
    together = fit(SHOTS, means)
    for place, row in enumerate(means):
        assert fit(SHOTS, row[None]).at(SHOTS)[0] == pytest.approx(together.at(SHOTS)[place], abs=1e-12)


def test_what_a_target_needs_by_hand() -> None:
    accuracies = np.tile(0.95 - 0.5 * SHOTS**-0.5, (4, 1))
    curve = learning_curve(SHOTS, accuracies)
    assert curve.needed(0.85) == (25, 25, 25)  # 0.5 / sqrt(25) = 0.1
    assert curve.needed(0.94)[0] == 2500  # within FURTHEST x 32
    assert curve.needed(0.96) == (math.inf, math.inf, math.inf)
    assert curve.needed(0.949)[0] == math.inf and FURTHEST * 32 < 250_000  # told by no such curve
    last = 0.95 - 0.5 * 32**-0.5
    assert curve.needed(0.01, below_last=True)[0] == math.ceil((0.5 / (0.95 - (last - 0.01))) ** 2)
    assert curve.residual == pytest.approx(0, abs=1e-6)
    assert (curve.poor, curve.flat) == (False, False)


def test_three_points_are_passed_through() -> None:
    curve = learning_curve(np.array([6, 20, 43]), np.array([[0.8, 0.88, 0.90], [0.8, 0.88, 0.90]]))
    assert curve.residual < 1e-6


@pytest.mark.slow
def test_a_curve_that_falls_or_jumps_is_called_flat_or_poor() -> None:
    falling = learning_curve(np.array([6, 20, 43]), np.array([[0.6, 0.55, 0.5], [0.61, 0.55, 0.5]]))
    assert falling.flat and falling.law.b[0] == 0 and falling.needed(0.9)[0] == math.inf
    jump = learning_curve(SHOTS, np.tile([0.1, 0.1, 0.1, 0.9, 0.9, 0.9], (2, 1)))
    assert jump.poor and jump.residual > 0.1


def test_one_split_has_a_curve_without_an_interval() -> None:
    curve = learning_curve(SHOTS, (0.9 - 0.5 / SHOTS)[None])
    found, low, high = curve.needed(0.8)
    assert found == 5 and math.isnan(low) and math.isnan(high)
    assert np.isnan(curve.band(SHOTS)[0]).all() and not curve.poor


def test_missing_trials_leave_out_no_more_than_themselves() -> None:
    random = np.random.default_rng(0)
    whole = 0.9 - 0.5 * SHOTS**-0.7 + random.normal(0, 0.01, (30, 1))
    holes = np.where(random.random(whole.shape) < 0.1, np.nan, whole)
    curve = learning_curve(SHOTS, holes)
    assert curve.means == pytest.approx(np.nanmean(holes, axis=0))
    low, high = curve.band(SHOTS)
    assert (low < curve.law.at(SHOTS)[0]).all() and (curve.law.at(SHOTS)[0] < high).all()


@pytest.mark.slow
def test_how_often_the_interval_contains_what_is_needed() -> None:
    """Splits differ as a whole and at each N; 20 of them, 120 times. 0.93 - 0.5 N^-0.7 reaches 0.9 at 55.6."""
    random = np.random.default_rng(1)
    truth = (0.5 / 0.03) ** (1 / 0.7)
    inside = doubled = 0
    for _ in range(120):
        noise = random.normal(0, 0.02, (20, 1)) + random.normal(0, 0.01, (20, 6))
        curve = learning_curve(SHOTS, 0.93 - 0.5 * SHOTS**-0.7 + noise, resamples=200)
        _, low, high = curve.needed(0.9)
        inside += low <= math.ceil(truth) <= high
        low_64, high_64 = (end[0] for end in curve.band(np.array([64])))
        doubled += low_64 <= 0.93 - 0.5 * 64**-0.7 <= high_64
    assert 0.88 < inside / 120 < 0.99
    assert 0.88 < doubled / 120 < 0.99
