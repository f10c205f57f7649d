"""Scores are cosines with class means, and the temperature is chosen on images that were held back."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.neighbors import NearestCentroid

from fewshot.methods.nearest_class_mean import NearestClassMean
from fewshot.task import Draw, Images, ImageStore
from fewshot.training.calibration import temperature


def test_guesses_are_those_of_the_nearest_mean_direction(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 5, 7)
    features = given.draw.images.features()
    theirs = NearestCentroid().fit(features, given.draw.labels).centroids_
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    fitted = NearestClassMean().fit(given.draw, given.task)
    expected = fitted.chosen["scale"] * given.test.features() @ theirs.T
    np.testing.assert_allclose(fitted.logits(given.test), expected, rtol=1e-4, atol=1e-4)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.7


@pytest.mark.parametrize("groups", [np.arange(12), np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 6, 7])])
def test_scale_and_temperature_have_the_least_log_loss_of_images_left_out_of_their_mean(
    patterns: Callable[..., Any], groups: np.ndarray
) -> None:
    given = patterns(4, 4, 4)
    draw = Draw(given.draw.images, given.draw.labels, groups)
    features, labels = draw.images.features().astype(np.float64), draw.labels
    cosines = np.zeros((12, 3))
    for i in range(12):
        rest = groups != groups[i]
        means = np.stack([features[rest & (labels == c)].mean(axis=0) for c in range(3)])
        cosines[i] = means @ features[i] / np.linalg.norm(means, axis=1)

    def loss(scale: float) -> float:
        result: float = -log_softmax(scale * cosines, axis=1)[np.arange(12), labels].mean()
        return result

    chosen = NearestClassMean().fit(draw, given.task).chosen
    best = min(NearestClassMean().scales, key=loss)
    assert chosen["scale"] == best
    assert chosen["temperature"] == pytest.approx(temperature(best * cosines, labels), rel=1e-2)
    assert loss(best / chosen["temperature"]) <= loss(best) + 1e-9


def test_it_is_done_with_a_thousand_images_at_once() -> None:
    """A draw of many classes takes a matrix of images and classes, and no more."""
    random = np.random.default_rng(0)
    ids, labels = tuple(map(str, range(3000))), np.arange(3000) % 500
    centres = random.normal(size=(500, 64))
    features = (centres[labels] + 0.3 * random.normal(size=(3000, 64))).astype(np.float32)
    images = Images(ImageStore(lambda wanted: np.empty(0), dict(zip(ids, features, strict=True))), ids)
    untouched = SimpleNamespace(model=SimpleNamespace(visual=None))
    task: Any = SimpleNamespace(classes=tuple(map(str, range(500))), clip=untouched)
    fitted = NearestClassMean().fit(Draw(images, labels, np.arange(3000)), task)
    assert (fitted.logits(images).argmax(axis=1) == labels).mean() > 0.99


def test_a_copy_does_not_vouch_for_its_picture(patterns: Callable[..., Any]) -> None:
    """Where all images of each class are one picture, nothing can be held back."""
    given = patterns(3, 3)
    draw = Draw(given.draw.images, given.draw.labels, given.draw.labels)
    assert NearestClassMean((5.0, 20.0, 200.0)).fit(draw, given.task).chosen == {"scale": 20.0}


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 5)])
def test_single_images_are_means_too(patterns: Callable[..., Any], counts: tuple[int, ...]) -> None:
    given = patterns(*counts)
    fitted = NearestClassMean().fit(given.draw, given.task)
    assert (fitted.logits(given.draw.images).argmax(axis=1) == given.draw.labels).mean() >= 0.8
