"""The bootstrap over images: by hand, paired, and by how often its interval contains the truth."""

import math

import numpy as np
import pytest

from fewshot.measuring.bootstrap import ImageBootstrap, Outcomes


def outcomes(images: list[int], right: list[int]) -> Outcomes:
    return Outcomes(np.array(images), np.array(right, bool))


def test_each_resample_is_scored_as_it_would_be_one_by_one() -> None:
    random = np.random.default_rng(0)
    trials = {split: Outcomes(np.sort(random.permutation(30)[:8]), random.random(8) < 0.7) for split in (0, 3, 5)}
    bootstrap = ImageBootstrap(30, resamples=50)
    found = bootstrap.accuracies(trials)
    assert found.splits == (0, 3, 5) and found.values.shape == (50, 3)
    assert (bootstrap.times.sum(axis=1) == 30).all()
    for resample, times in enumerate(bootstrap.times):
        for place, split in enumerate(found.splits):
            again = np.repeat(trials[split].right, times[trials[split].images])
            expected = again.mean() if len(again) else math.nan
            assert found.values[resample, place] == pytest.approx(expected, nan_ok=True)


def test_a_difference_is_taken_on_the_same_images_and_the_common_splits() -> None:
    bootstrap = ImageBootstrap(4, resamples=300)
    a = bootstrap.accuracies({0: outcomes([0, 1, 2, 3], [1, 1, 0, 1]), 1: outcomes([0, 1], [1, 1])})
    b = bootstrap.accuracies({0: outcomes([0, 1, 2, 3], [1, 1, 0, 1]), 2: outcomes([2, 3], [0, 0])})
    assert a.minus(b).splits == (0,)
    assert a.minus(b).interval() == (0, 0)  # the same answers: no doubt about the difference, much about the accuracy
    low, high = a.interval()
    assert low < 0.6 and high == 1
    assert bootstrap.accuracies({7: outcomes([0], [1])}).minus(b).interval() == pytest.approx(
        (math.nan, math.nan), nan_ok=True
    )


def test_the_same_images_give_the_same_interval() -> None:
    trials = {0: outcomes(list(range(50)), [1, 0] * 25)}
    assert ImageBootstrap(50).accuracies(trials).interval() == ImageBootstrap(50).accuracies(trials).interval()
    other = ImageBootstrap(50, seed=1).accuracies(trials).interval()
    assert other == pytest.approx(ImageBootstrap(50).accuracies(trials).interval(), abs=0.03)


def test_many_images_are_scored_in_parts() -> None:
    random = np.random.default_rng(0)
    trials = {0: Outcomes(np.arange(30_000), random.random(30_000) < 0.5)}
    found = ImageBootstrap(30_000, resamples=300).accuracies(trials)
    assert not np.isnan(found.values).any()
    assert np.std(found.values) == pytest.approx(0.5 / math.sqrt(30_000), rel=0.15)


@pytest.mark.slow
def test_how_often_the_interval_contains_the_true_accuracy() -> None:
    """A fixed classifier that is right for 80 % of all images, 300 collections of 200 images, 30 splits of each."""
    random = np.random.default_rng(0)
    inside = 0
    bootstrap = ImageBootstrap(200, resamples=400)
    for _ in range(300):
        right = random.random(200) < 0.8
        splits = [random.permutation(200)[:40] for _ in range(30)]
        low, high = bootstrap.accuracies({s: Outcomes(test, right[test]) for s, test in enumerate(splits)}).interval()
        inside += low <= 0.8 <= high
    assert 0.91 < inside / 300 < 0.985


@pytest.mark.slow
def test_how_often_the_interval_contains_the_true_difference() -> None:
    """Two classifiers, right for 85 and 80 %, that err on much the same images: 200 collections of 200, 20 splits."""
    random = np.random.default_rng(1)
    inside, width, apart = 0, [], []
    bootstrap = ImageBootstrap(200, resamples=400)
    for _ in range(200):
        hard = random.random(200)
        splits = {s: random.permutation(200)[:40] for s in range(20)}
        a, b = (
            bootstrap.accuracies({s: Outcomes(test, hard[test] < share) for s, test in splits.items()})
            for share in (0.85, 0.8)
        )
        low, high = a.minus(b).interval()
        inside += low <= 0.05 <= high
        width.append(high - low)
        of_a, of_b = (high - low for low, high in (a.interval(), b.interval()))
        apart.append(np.hypot(of_a, of_b))
    assert 0.90 < inside / 200 < 0.985
    assert np.mean(width) < 0.5 * np.mean(apart)  # what pairing is for
