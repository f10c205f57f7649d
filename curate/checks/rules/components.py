"""Image features as the rules on classes use them: the parts that vary most, on one scale whatever the model."""

import numpy as np


def principal_components(features: np.ndarray, most: int) -> np.ndarray:
    """The Components of features, of themselves: (n, d) to (n, r) float64."""
    return Components(features, most).of(features)


class Components:
    """The parts of features that vary most: (m, d) to (m, r) float64, centred, the largest variance first.

    The mean square of a row's length is 1 among the features that they were found in, so that one regularisation
    strength suits every model. Features without a negative value, as convolutional towers give them, are first replaced
    by their square roots (power normalisation, Perronnin et al., Improving the Fisher kernel, ECCV 2010): they are
    heavy-tailed.
    """

    def __init__(self, features: np.ndarray, most: int) -> None:
        """features: (n, d), in which the parts are found.  most: of r."""
        self._roots = bool(features.min(initial=0) >= 0)
        X = self._unit(features)
        self._mean = X.mean(axis=0)
        X -= self._mean
        _, directions = np.linalg.eigh(X.T @ X)
        self._directions = directions[:, ::-1][:, :most]
        self._scale = max(float(np.sqrt(np.square(X @ self._directions).sum(axis=1).mean())), 1e-12)

    def of(self, features: np.ndarray) -> np.ndarray:
        """The parts of features (m, d) of the same model, which may be others."""
        result: np.ndarray = (self._unit(features) - self._mean) @ self._directions / self._scale
        return result

    def _unit(self, features: np.ndarray) -> np.ndarray:
        X = features.astype(np.float64)
        if self._roots:
            X = np.sqrt(np.maximum(X, 0))
        result: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        return result


def large_enough(labels: np.ndarray, groups: np.ndarray, least: float) -> np.ndarray:
    """Which images belong to a class of `least` pictures or more, copies of one counted once: bool (n,)."""
    pairs = sorted({*zip(labels, groups, strict=True)})
    names, sizes = np.unique([label for label, _ in pairs], return_counts=True)
    return np.isin(labels, names[sizes >= least])
