"""Nearest neighbours by cosine similarity: exact, in blocks, so that memory does not grow with the square.

20,000 x 512 features take seconds on two cores; the time grows with the square of their number (docs/curation.md: what
a million would need).
"""

from collections.abc import Iterator

import numpy as np
import torch

BLOCK = 1 << 22  # similarities held at a time: 16 MB

# Products of the same two vectors differ by about this much with the place that they have in a matrix. What differs by
# less is a tie, or else the order of equal pictures would depend on the order of the rest.
TIE = 1e-6


def nearest(features: np.ndarray, k: int, *, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each of n images, itself left out, the nearest first; of ties, the one with the lower index.

    features: (n, d), of length 1.  block: similarities to hold at a time.
    Returns their indices, int64 (n, k), and cosine similarities, float32 (n, k); fewer columns where n - 1 < k.
    """
    k = max(0, min(k, len(features) - 1))
    indices, similarities = np.zeros((len(features), k), np.int64), np.zeros((len(features), k), np.float32)
    for start, products in _products(features, block):
        own = np.arange(len(products))
        products[own, start + own] = -np.inf
        least = torch.topk(torch.from_numpy(products), k).values.numpy().min(axis=1, initial=np.inf)
        for row in own if k else ():
            candidates = np.flatnonzero(products[row] >= least[row] - TIE)
            ranked = candidates[np.lexsort((candidates, -np.round(products[row, candidates] / TIE)))[:k]]
            indices[start + row], similarities[start + row] = ranked, products[row, ranked]
    return indices, similarities


def pairs_above(features: np.ndarray, threshold: float, *, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of images whose similarity is `threshold` or more, to within TIE.

    features: (n, d), of length 1.  block: similarities to hold at a time.
    Returns the pairs, int64 (m, 2), smaller index first, sorted, and their cosine similarities, float32 (m,).
    """
    pairs, similarities = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for start, products in _products(features, block):
        first, second = np.nonzero(products >= threshold - TIE)
        later = second > start + first
        first, second = first[later], second[later]
        pairs.append(np.stack([start + first, second], axis=1))
        similarities.append(products[first, second])
    return np.concatenate(pairs), np.concatenate(similarities)


def _products(features: np.ndarray, block: int) -> Iterator[tuple[int, np.ndarray]]:
    """The similarities of a few images to all, (rows, n), and the number of the first of them."""
    features = np.ascontiguousarray(features, np.float32)
    rows = max(1, block // max(1, len(features)))
    for start in range(0, len(features), rows):
        yield start, features[start : start + rows] @ features.T
