"""Learning curves: a power law through the accuracies at several numbers of images, and the number that a target needs.

acc(N) = a - b * N^-c with b, c >= 0 and a <= 1: errors fall as a power of the number of examples, to a floor 1 - a.
Cortes, Jackel, Solla, Vapnik and Denker, "Learning Curves: Asymptotic Values and Rate of Convergence", NIPS 1993;
Viering and Loog, "The Shape of Learning Curves: a Review", TPAMI 2023 (arXiv 2103.10948), where it is `POW3`.

How sure a curve is comes from resampling whole *splits*: a split's draws are nested and its tests are the same at every
N, so its accuracies belong together. That covers the choice of splits of one collection, as the interval over splits
does, and the power law is taken for granted: how far it holds beyond the measured numbers, no resampling can tell.
"""

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
# The exponents tried: at 0, a and b are not determined, and beyond 4 a curve is flat from the second point on.
LEAST, MOST = 0.01, 4.0
FURTHEST = 100  # times the largest measured number: a target that lies further off counts as not reached
ROUNDING = 1e-4  # 25.001 images are 25: the fit is no better than this
POOR = 0.01  # a curve that misses a mean by more than this (and by two standard errors) doesn't describe it


@dataclass(frozen=True)
class PowerLaw:
    """acc(N) = a - b * (N / unit)^-c; a, b and c are arrays of one shape (k,), a curve each. `unit` > 0 images."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    unit: float

    def at(self, images: np.ndarray) -> np.ndarray:
        """Accuracies (k, m) at numbers of images (m,)."""
        result: np.ndarray = (
            self.a[:, None] - self.b[:, None] * (np.asarray(images, float) / self.unit) ** -self.c[:, None]
        )
        return result

    def needed(self, target: np.ndarray) -> np.ndarray:
        """The number of images (k,), not rounded, at which each curve reaches its target (k,); inf where it never does.

        0 where a curve has no slope and lies above the target.
        """
        gap = self.a - target
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            images = self.unit * (self.b / gap) ** (1 / self.c)
        return np.where(gap > 0, images, np.inf)


@dataclass(frozen=True)
class LearningCurve:
    """The power law through the means of some splits' accuracies, and those of splits resampled.

    `shots` (m,) ascending; `means` (m,) over the splits that have them, `errors` their standard errors (NaN where
    there is one); `law` has one curve, `resampled` one for each resample, or none with fewer than two splits.
    """

    shots: np.ndarray
    splits: int
    means: np.ndarray
    errors: np.ndarray
    law: PowerLaw
    resampled: PowerLaw
    resampled_last: np.ndarray  # the mean at the largest number of images in each resample

    @property
    def residual(self) -> float:
        """By how much the curve misses a mean, at most."""
        return float(np.abs(self.law.at(self.shots)[0] - self.means).max())

    @property
    def poor(self) -> bool:
        """Whether it misses a mean by more than a point and more than two of its standard errors."""
        missed = np.abs(self.law.at(self.shots)[0] - self.means)
        return bool((missed > np.maximum(POOR, 2 * np.nan_to_num(self.errors))).any())

    @property
    def flat(self) -> bool:
        """Whether it rises by less than a tenth of a point over the measured numbers."""
        first, last = self.law.at(self.shots[[0, -1]])[0]
        return bool(last - first < 0.001)

    def band(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % percentile interval of the curve at numbers of images (m,): NaN where nothing was resampled."""
        if not len(self.resampled.a):
            return np.full(len(images), np.nan), np.full(len(images), np.nan)
        low, high = np.percentile(self.resampled.at(images), (2.5, 97.5), axis=0)
        return low, high

    def needed(self, target: float, below_last: bool = False) -> tuple[float, float, float]:
        """How many images a class reach `target`, rounded up, and the ends of its 95 % percentile interval.

        `below_last`: `target` is a distance below the mean at the largest number, in each resample below that of the
        resample. inf: not reached by any number up to FURTHEST times the largest. NaN: nothing was resampled.
        """
        wanted = self.means[-1] - target if below_last else target
        found = float(self._whole_images(self.law.needed(np.array([wanted])))[0])
        if not len(self.resampled.a):
            return found, math.nan, math.nan
        targets = self.resampled_last - target if below_last else np.full(len(self.resampled.a), target)
        # Order statistics, not interpolated between: some may be infinite.
        ends = np.percentile(self._whole_images(self.resampled.needed(targets)), (2.5, 97.5), method="inverted_cdf")
        return found, float(ends[0]), float(ends[1])

    def _whole_images(self, images: np.ndarray) -> np.ndarray:
        """Whole images; what lies too far beyond the measured numbers is infinitely many."""
        return np.where(images <= FURTHEST * self.shots[-1], np.ceil(images * (1 - ROUNDING)), np.inf)


def learning_curve(shots: np.ndarray, accuracies: np.ndarray, resamples: int = RESAMPLES) -> LearningCurve:
    """Fit a curve to accuracies (splits, m) at `shots` (m,), at least three, ascending; NaN where a trial is missing.

    Least squares of the means over splits, unweighted: with weights by their spread, a saturated cell whose splits all
    agree would decide alone. Every number of shots needs one accuracy at least.
    """
    shots = np.asarray(shots, float)
    known = ~np.isnan(accuracies)
    counts = known.sum(axis=0)
    means = np.where(known, accuracies, 0).sum(axis=0) / counts
    spread = np.where(known, accuracies - means, 0) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt(spread.sum(axis=0) / (counts - 1) / counts)
    again = _resampled_means(accuracies, known, resamples if len(accuracies) > 1 else 0)
    return LearningCurve(
        shots=shots,
        splits=len(accuracies),
        means=means,
        errors=errors,
        law=fit(shots, means[None]),
        resampled=fit(shots, again),
        resampled_last=again[:, -1],
    )


def _resampled_means(accuracies: np.ndarray, known: np.ndarray, resamples: int) -> np.ndarray:
    """The means (k, m) over splits drawn with replacement; resamples without any trial at some number are left out."""
    splits = len(accuracies)
    drawn = np.random.default_rng(0).integers(splits, size=(resamples, splits))
    times = np.stack([np.bincount(row, minlength=splits) for row in drawn]) if resamples else np.zeros((0, splits))
    counts = times @ known.astype(float)
    sums = times @ np.where(known, accuracies, 0)
    whole = (counts > 0).all(axis=1)
    result: np.ndarray = sums[whole] / counts[whole]
    return result


def fit(shots: np.ndarray, means: np.ndarray) -> PowerLaw:
    """The power law of least squares for each row of `means` (k, m) at `shots` (m,): k curves.

    For a given exponent a and b are a linear problem, solved in closed form; the exponent is searched on a grid that
    is refined around its best. No starting point, no local optimum missed but between neighbours of the first grid.
    """
    unit = float(shots[0])
    steps = np.linspace(math.log(LEAST), math.log(MOST), 121)
    exponents = np.broadcast_to(np.exp(steps), (len(means), len(steps)))
    width = steps[1] - steps[0]
    while True:
        a, b, errors = _linear(exponents, shots / unit, means)
        best = np.arange(len(means)), errors.argmin(axis=1)
        if width < 1e-7:
            return PowerLaw(a[best], b[best], exponents[best], unit)
        around = np.log(exponents[best])[:, None] + np.linspace(-width, width, 11)
        exponents = np.exp(np.clip(around, math.log(LEAST), math.log(MOST)))
        width /= 5


def _linear(exponents: np.ndarray, sizes: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For exponents (k, g): the best a and b, each (k, g), with a <= 1 and b >= 0, and their squared errors."""
    x = sizes ** -exponents[..., None]  # (k, g, m)
    y = means[:, None, :]
    x_mean, y_mean = x.mean(axis=2), y.mean(axis=2)
    off = x - x_mean[..., None]
    b = -(off * (y - y_mean[..., None])).sum(axis=2) / (off**2).sum(axis=2)
    a = y_mean + b * x_mean
    free = (a <= 1) & (b >= 0)
    # Where the free optimum isn't allowed, the best lies on an edge: a = 1, or b = 0.
    ceiling = (x * (1 - y)).sum(axis=2) / (x**2).sum(axis=2)
    edges = [(np.ones_like(a), ceiling), (np.broadcast_to(y_mean, a.shape), np.zeros_like(a))]
    errors = [((y - e[..., None] + f[..., None] * x) ** 2).sum(axis=2) for e, f in edges]
    at_ceiling = errors[0] <= errors[1]
    a = np.where(free, a, np.where(at_ceiling, edges[0][0], edges[1][0]))
    b = np.where(free, b, np.where(at_ceiling, edges[0][1], edges[1][1]))
    return a, b, ((y - a[..., None] + b[..., None] * x) ** 2).sum(axis=2)
