"""Image features as the rules on classes use them: the parts that vary most, on one scale whatever the model."""

import numpy as np

from curate.checks.rule import CannotRun, Inputs


def needed(inputs: Inputs) -> np.ndarray:
    """The features, (n, d) float32. Raises CannotRun where there are none."""
    if inputs.features is None:
        raise CannotRun(f"it needs image features, and there are none: {inputs.model}")
    return inputs.features


def principal_components(features: np.ndarray, most: int) -> np.ndarray:
    """(n, d) to (n, r) float64, r at most `most`: centred, the direction of largest variance first.

    The mean square of a row's length is 1, so that one regularisation strength suits every model. Features without a
    negative value, as convolutional towers give them, are first replaced by their square roots (power normalisation,
    Perronnin et al., Improving the Fisher kernel, ECCV 2010): they are heavy-tailed.
    """
    X = features.astype(np.float64)
    if X.min(initial=0) >= 0:
        X = np.sqrt(X)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    X -= X.mean(axis=0)
    _, directions = np.linalg.eigh(X.T @ X)
    X = X @ directions[:, ::-1][:, :most]
    return X / max(float(np.sqrt(np.square(X).sum(axis=1).mean())), 1e-12)


def large_enough(labels: np.ndarray, groups: np.ndarray, least: float) -> np.ndarray:
    """Which images belong to a class of `least` pictures or more, copies of one counted once: bool (n,)."""
    pairs = sorted({*zip(labels, groups, strict=True)})
    names, sizes = np.unique([label for label, _ in pairs], return_counts=True)
    return np.isin(labels, names[sizes >= least])
