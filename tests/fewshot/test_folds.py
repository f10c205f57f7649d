"""What a method may hold back from its draw, to choose its settings by."""

from collections.abc import Callable

import numpy as np

from fewshot.folds import folds
from fewshot.task import Draw


def test_copies_of_one_picture_stay_in_one_fold(patterns: Callable) -> None:
    given = patterns(9, 9)
    draw = Draw(given.draw.images, given.draw.labels, np.arange(18) // 3)
    parts = folds(draw, 5)
    assert len(parts) == 5
    for fit, check in parts:
        assert not set(draw.groups[fit]) & set(draw.groups[check])
    assert sorted(np.concatenate([check for _, check in parts])) == list(range(18))


def test_where_a_class_has_one_image_nothing_can_be_held_back(patterns: Callable) -> None:
    assert folds(patterns(1, 5).draw, 5) == []
    assert folds(patterns(4).draw, 5) == []
    assert len(folds(patterns(2, 5).draw, 5)) == 2
