"""What an answer names."""

import numpy as np

from fewshot.predicting.answers import answer

CLASSES = ("tree", "plank", "boat")


def test_the_likeliest_come_first_and_equals_in_the_classes_order() -> None:
    said = answer("a.jpg", np.array([0.25, 0.5, 0.25]), CLASSES, top=5, threshold=0.4)
    assert said.top == (("plank", 0.5), ("tree", 0.25), ("boat", 0.25))
    assert said.label == "plank"


def test_below_the_threshold_it_is_none_of_these_and_still_said_what_comes_nearest() -> None:
    said = answer("a.jpg", np.array([0.3, 0.4, 0.3]), CLASSES, top=1, threshold=0.41)
    assert said.label is None
    assert said.top == (("plank", 0.4),)
    assert answer("a.jpg", np.array([0.3, 0.4, 0.3]), CLASSES, top=1, threshold=0.4).label == "plank"
