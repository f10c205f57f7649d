"""Skeletons that ship are those that would be made."""

import numpy as np
import pytest

from curate.body import projected, shipped_skeletons
from curate.body.poses import everyday, shipped


def test_the_file_has_every_pose_that_ships_as_it_is_now() -> None:
    """Where it lacks one: python -m curate.body.shipped_skeletons."""
    digests = {pose.digest for pose in (*shipped().values(), *everyday().values())}
    assert shipped_skeletons._kept().keys() == digests


@pytest.mark.parametrize("name", ["tree", "bridge", "cobra"])
def test_they_are_those_that_would_be_made(name: str) -> None:
    pose = shipped()[name]
    made, numbers = projected.skeletons([pose], views=shipped_skeletons.NUMBER)
    kept, same = shipped_skeletons.skeletons([pose], views=shipped_skeletons.NUMBER)
    np.testing.assert_array_equal(numbers, same)
    np.testing.assert_allclose(kept[:, :, :2], made[:, :, :2], atol=0.3)
    np.testing.assert_array_equal(kept[:, :, 3:], made[:, :, 3:])


def test_other_numbers_are_made() -> None:
    pose = shipped()["tree"]
    made, _ = projected.skeletons([pose], views=5)
    np.testing.assert_array_equal(shipped_skeletons.skeletons([pose], views=5)[0], made)
    assert shipped_skeletons.skeletons([], views=5)[0].shape == (0, 33, 5)
