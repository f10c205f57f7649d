"""Neighbours are exact whatever the size of the blocks, ties are decided by index, and memory stays small."""

import tracemalloc

import numpy as np
import pytest

from curate.models.neighbours import nearest, pairs_above


def unit(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 100, 1000, 1 << 22])
def test_nearest_are_those_of_a_full_sort_whatever_the_block(block: int) -> None:
    features = unit(150)
    similarities = features.astype(np.float64) @ features.T.astype(np.float64)
    np.fill_diagonal(similarities, -2)
    expected = np.argsort(-similarities, axis=1)[:, :7]
    indices, found = nearest(features, 7, block=block)
    assert (indices == expected).all()
    assert found == pytest.approx(np.take_along_axis(similarities, expected, axis=1), abs=1e-6)


@pytest.mark.parametrize("block", [1, 100, 1000, 1 << 22])
def test_pairs_are_those_of_the_full_matrix_whatever_the_block(block: int) -> None:
    features = unit(150)
    similarities = features.astype(np.float64) @ features.T.astype(np.float64)
    pairs, found = pairs_above(features, 0.4, block=block)
    assert len(pairs) > 100
    assert pairs.tolist() == np.argwhere(np.triu(similarities >= 0.4, k=1)).tolist()
    assert found == pytest.approx(similarities[tuple(pairs.T)], abs=1e-6)


def test_equal_images_come_in_the_order_of_their_index() -> None:
    features = np.repeat(unit(3, width=512), 40, axis=0)
    indices, _ = nearest(features, 5)
    for image in range(len(features)):
        first = image // 40 * 40
        assert indices[image].tolist() == [i for i in range(first, first + 6) if i != image][:5]
    pairs, _ = pairs_above(features, 1.0)
    assert len(pairs) == 3 * 40 * 39 // 2


def test_there_may_be_fewer_neighbours_than_asked_for() -> None:
    assert nearest(unit(3), 5)[0].tolist()[0] in ([1, 2], [2, 1])
    assert nearest(unit(1), 5)[0].shape == (1, 0)
    assert nearest(unit(0), 5)[0].shape == (0, 0)
    assert pairs_above(unit(1), -1.0)[0].shape == pairs_above(unit(0), -1.0)[0].shape == (0, 2)


def test_memory_does_not_grow_with_the_square() -> None:
    features = unit(6000, width=8)
    tracemalloc.start()
    nearest(features, 10)
    pairs_above(features, 0.999)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # the full matrix has 144 MB
