"""Scores are cosines with class means, and the temperature is chosen on images that were held back."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.neighbors import NearestCentroid

from fewshot.methods.nearest_class_mean import NearestClassMean
from fewshot.task import Draw


def test_guesses_are_those_of_the_nearest_mean_direction(patterns: Callable) -> None:
    given = patterns(6, 5, 7)
    features = given.draw.images.features()
    theirs = NearestCentroid().fit(features, given.draw.labels).centroids_
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    fitted = NearestClassMean().fit(given.draw, given.task)
    expected = fitted.chosen["temperature"] * given.test.features() @ theirs.T
    np.testing.assert_allclose(fitted.logits(given.test), expected, rtol=1e-4, atol=1e-4)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.7


def test_the_temperature_has_the_least_log_loss_of_images_left_out_of_their_mean(patterns: Callable) -> None:
    given = patterns(4, 4, 4)
    features, labels = given.draw.images.features().astype(np.float64), given.draw.labels
    losses = []
    for temperature in NearestClassMean().temperatures:
        total = 0.0
        for i in range(12):
            rest = np.arange(12) != i
            means = np.stack([features[rest & (labels == c)].mean(axis=0) for c in range(3)])
            means /= np.linalg.norm(means, axis=1, keepdims=True)
            total -= log_softmax(temperature * means @ features[i])[labels[i]]
        losses.append(total)
    best = NearestClassMean().temperatures[int(np.argmin(losses))]
    assert NearestClassMean().fit(given.draw, given.task).chosen == {"temperature": best}


def test_a_copy_does_not_vouch_for_its_picture(patterns: Callable) -> None:
    """Where all images of each class are one picture, nothing can be held back."""
    given = patterns(3, 3)
    draw = Draw(given.draw.images, given.draw.labels, given.draw.labels)
    assert NearestClassMean((5.0, 20.0, 200.0)).fit(draw, given.task).chosen == {"temperature": 20.0}


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 5)])
def test_single_images_are_means_too(patterns: Callable, counts: tuple[int, ...]) -> None:
    given = patterns(*counts)
    fitted = NearestClassMean().fit(given.draw, given.task)
    assert (fitted.logits(given.draw.images).argmax(axis=1) == given.draw.labels).mean() >= 0.8
