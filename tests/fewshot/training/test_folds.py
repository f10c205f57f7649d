"""What a method may hold back from its draw, to choose its settings by."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fewshot.task import Draw, Images, ImageStore
from fewshot.training.folds import folds


def test_copies_of_one_picture_stay_in_one_fold(patterns: Callable[..., Any]) -> None:
    given = patterns(9, 9)
    draw = Draw(given.draw.images, given.draw.labels, np.arange(18) // 3)
    parts = folds(draw, 5)
    assert len(parts) == 5
    for fit, check in parts:
        assert not set(draw.groups[fit]) & set(draw.groups[check])
    assert sorted(np.concatenate([check for _, check in parts])) == list(range(18))


def test_where_a_class_has_one_image_nothing_can_be_held_back(patterns: Callable[..., Any]) -> None:
    assert folds(patterns(1, 5).draw, 5) == []
    assert folds(patterns(4).draw, 5) == []
    assert len(folds(patterns(2, 5).draw, 5)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(4), random.integers(5, 15, size=4)))
    groups = random.integers(0, len(labels), len(labels)) if seed % 2 else np.arange(len(labels))
    theirs = StratifiedGroupKFold(5).split(labels, labels, groups)
    draw = Draw(Images(ImageStore(lambda wanted: np.empty(0), {}), ()), labels, groups)  # folds look at no image
    for (fit, check), (their_fit, their_check) in zip(folds(draw, 5), theirs, strict=True):
        np.testing.assert_array_equal(fit, their_fit)
        np.testing.assert_array_equal(check, their_check)
