"""Intervals against scipy, by hand, and by what they promise: a simulation counts how often they hold."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from fewshot.measuring.statistics import measured_overlap, paired, summarize

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=80)


def test_by_hand() -> None:
    found = summarize([0.7, 0.8, 0.9])
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # t(0.975, 2)
    assert found.n == 3
    assert (found.mean, found.sd) == pytest.approx((0.8, 0.1))
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half))


@given(accuracies)
def test_like_scipy(values: list[float]) -> None:
    assume(max(values) - min(values) > 1e-6)  # scipy warns of nearly equal values
    found = summarize(values)
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.sd == pytest.approx(scipy.stats.tstd(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_one_split_has_no_spread() -> None:
    found = summarize([0.8])
    assert (found.n, found.mean) == (1, 0.8)
    assert math.isnan(found.sd) and math.isnan(found.low) and math.isnan(found.high) and not found.known


def test_no_split_has_no_mean() -> None:
    found = summarize([])
    assert found.n == 0 and math.isnan(found.mean) and not found.known


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert (summarize([0.5, 0.5]).low, summarize([0.5, 0.5]).high) == (0.5, 0.5)


def test_the_corrected_interval_by_hand() -> None:
    plain, corrected = summarize([0.7, 0.8, 0.9]), summarize([0.7, 0.8, 0.9], overlap=0.2)
    assert corrected.high - corrected.mean == pytest.approx((plain.high - plain.mean) * math.sqrt(1 + 3 * 0.2 / 0.8))
    assert (corrected.mean, corrected.sd) == (plain.mean, plain.sd)


def test_one_test_set_says_nothing_of_other_images() -> None:
    found = summarize([0.7, 0.8], overlap=1.0)
    assert found.sd > 0 and not found.known


def test_pairs_are_taken_on_the_common_splits() -> None:
    found = paired({0: 0.9, 1: 0.8, 2: 0.1}, {1: 0.6, 0: 0.8, 7: 0.0})
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)
    assert found.sd == pytest.approx(math.sqrt(0.005))
    assert paired({0: 0.9}, {1: 0.8}).n == 0


@given(accuracies)
def test_a_difference_turned_round_is_the_same_with_the_other_sign(values: list[float]) -> None:
    a, b = dict(enumerate(values)), dict(enumerate(reversed(values)))
    forth, back = paired(a, b, 0.2), paired(b, a, 0.2)
    assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-12)


def test_overlap_by_hand() -> None:
    assert measured_overlap([["a", "b"], ["b", "c"]]) == 0.5
    assert measured_overlap([["a", "b"], ["a", "b"], ["a", "b"]]) == 1.0
    assert measured_overlap([["a"], ["b"]]) == 0.0
    assert measured_overlap([["a"]]) == 0.0
    assert measured_overlap([]) == 0.0


@given(st.lists(st.sets(st.integers(0, 12), min_size=1).map(lambda s: [str(i) for i in s]), min_size=2, max_size=6))
def test_overlap_is_the_mean_over_ordered_pairs(tests: list[list[str]]) -> None:
    pairs = [(a, b) for i, a in enumerate(tests) for j, b in enumerate(tests) if i != j]
    shared = sum(len(set(a) & set(b)) for a, b in pairs)
    assert measured_overlap(tests) == pytest.approx(shared / sum(len(a) for a, _ in pairs))


def test_how_often_the_intervals_contain_the_true_accuracy() -> None:
    """A fixed classifier that is right for 80 % of all images, 300 collections of 200 images, 30 splits of each."""
    random = np.random.default_rng(0)
    plain = corrected = 0
    for _ in range(300):
        right = random.random(200) < 0.8
        splits = [random.permutation(200)[:40] for _ in range(30)]
        values = [float(right[test].mean()) for test in splits]
        overlap = measured_overlap([[str(i) for i in test] for test in splits])
        assert overlap == pytest.approx(0.2, abs=0.02)
        intervals = summarize(values), summarize(values, overlap)
        plain += intervals[0].low <= 0.8 <= intervals[0].high
        corrected += intervals[1].low <= 0.8 <= intervals[1].high
    assert plain / 300 < 0.7
    assert 0.91 < corrected / 300 < 0.985
