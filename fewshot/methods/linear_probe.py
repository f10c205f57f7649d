"""A linear probe: multinomial logistic regression on the frozen model's normalised image features.

As in Radford et al. 2021 (arXiv 2103.00020, appendix A.3), with the L2 strength chosen by cross-validation. Here it
is chosen on the draw alone, and copies of one picture stay in one fold.
"""

from dataclasses import dataclass

import numpy as np

from fewshot.folds import Parts, folds
from fewshot.task import Draw, Fitted, Images, Task

# Where the solver stops (the largest component of the mean loss's gradient). At scikit-learn's default the
# probabilities are up to 0.015 from the optimum's: near enough to compare strengths, not to be the result.
ROUGH, EXACT = 1e-4, 1e-8


@dataclass(frozen=True)
class LinearProbe:
    """What the draw may choose from, by cross-validated accuracy in `folds` parts.

    `strengths`: scikit-learn's C, the inverse of the L2 strength. `powers`: of the features before they are
    normalised, sign kept; 0.5 is the power normalisation of Perronnin et al. 2010, which suits the non-negative,
    heavy-tailed features of convolutional towers; 1 leaves them alone.
    """

    strengths: tuple[float, ...] = (3.2, 10.0, 32.0, 100.0, 320.0)
    powers: tuple[float, ...] = (1.0, 0.5)
    folds: int = 5

    def fit(self, draw: Draw, task: Task) -> Fitted:
        import sklearn.linear_model  # noqa: F401 - its thread pools can only be limited once they are there
        from threadpoolctl import threadpool_limits

        # One thread: these problems are too small for more, and the sums come out the same on any number of cores.
        with threadpool_limits(1):
            return self._fit(draw, task)

    def _fit(self, draw: Draw, task: Task) -> Fitted:
        features = draw.images.features()
        power, strength = self._choose(features, draw)
        coordinates, basis = _rotate(_normalised(features, power))
        weights, bias = _Solver(coordinates, draw.labels, len(task.classes), EXACT).solve(strength)
        matrix, offset = (weights @ basis).astype(np.float32), bias.astype(np.float32)

        def logits(images: Images) -> np.ndarray:
            return (_normalised(images.features(), power) @ matrix.T + offset).astype(np.float32)

        return Fitted(logits, {"C": strength, "power": power}, {"weights": matrix, "bias": offset})

    def _choose(self, features: np.ndarray, draw: Draw) -> tuple[float, float]:
        """The power and strength that guess most of the held-out folds' labels.

        Neighbouring strengths count half, so that a plateau beats a peak; the first of equals wins.
        """
        middle = self.strengths[len(self.strengths) // 2]
        if len(self.powers) * len(self.strengths) == 1 or not (parts := folds(draw, self.folds)):
            return self.powers[0], middle
        best, chosen = -1.0, (self.powers[0], middle)
        for power in self.powers:
            right = self._right(_rotate(_normalised(features, power))[0], draw.labels, parts)
            smooth = np.convolve(np.pad(right, 1, mode="edge"), [0.5, 1, 0.5], mode="valid")
            if smooth.max() > best:
                best, chosen = smooth.max(), (power, self.strengths[int(smooth.argmax())])
        return chosen

    def _right(self, X: np.ndarray, labels: np.ndarray, parts: Parts) -> np.ndarray:
        """For each strength, how many held-out images are classified correctly."""
        right = np.zeros(len(self.strengths))
        for fit, check in parts:
            solver = _Solver(X[fit], labels[fit], int(labels.max()) + 1)
            for position, strength in enumerate(self.strengths):
                weights, bias = solver.solve(strength)
                right[position] += ((X[check] @ weights.T + bias).argmax(axis=1) == labels[check]).sum()
        return right


def _normalised(features: np.ndarray, power: float) -> np.ndarray:
    """(n, d) -> (n, d) float64 of length 1, after a power that keeps the sign."""
    powered = np.sign(features) * np.abs(features.astype(np.float64)) ** power
    return powered / np.linalg.norm(powered, axis=1, keepdims=True)


def _rotate(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) features -> coordinates (n, r) and basis (r, d), r = min(n, d).

    The optimum of an L2-regularised linear model lies in the span of its samples, so that solving in these
    coordinates is exact, and with 66 images instead of 1,280 features an order of magnitude cheaper.
    """
    left, scale, basis = np.linalg.svd(features, full_matrices=False)
    return left * scale, basis


class _Solver:
    """scikit-learn's logistic regression for a series of strengths, each starting from the solution before."""

    def __init__(self, X: np.ndarray, labels: np.ndarray, classes: int, tolerance: float = ROUGH) -> None:
        from sklearn.linear_model import LogisticRegression

        self.X, self.labels, self.classes = X, labels, classes
        self.present = np.unique(labels)
        self.model = LogisticRegression(tol=tolerance, max_iter=5000, warm_start=True)

    def solve(self, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights (classes, d) and bias (classes,); a class without an image gets the least score."""
        weights, bias = np.zeros((self.classes, self.X.shape[1])), np.full(self.classes, -1e3)
        if len(self.present) < 2:
            bias[self.present] = 0
            return weights, bias
        fitted = self.model.set_params(C=strength).fit(self.X, self.labels)
        rows, offsets = fitted.coef_, fitted.intercept_
        if len(self.present) == 2:  # scikit-learn keeps one row for two classes: the second against the first
            rows, offsets = np.outer((-0.5, 0.5), rows[0]), np.multiply((-0.5, 0.5), offsets)
        weights[self.present], bias[self.present] = rows, offsets
        return weights, bias
