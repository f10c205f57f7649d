"""What each training image weighs in a loss."""

import numpy as np


def image_weights(labels: np.ndarray, kind: str, learned: np.ndarray | None = None) -> np.ndarray:
    """(n,) float64 of mean 1 for labels (n,); 0 for images that are not `learned` (n,) bool from (all are, if None).

    `kind` "none": all alike; "balanced": as scikit-learn has it, n / (classes * images of the class), counted among
    those that are learned from.
    """
    weights = np.ones(len(labels)) if learned is None else learned.astype(np.float64)
    if kind == "balanced":
        counts = np.bincount(labels, weights)
        weights *= weights.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)[labels])
    return weights
