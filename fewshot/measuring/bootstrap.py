"""The bootstrap over test images: how would accuracies vary, had there been other images to test on?

The images of all splits' test sets are drawn with replacement, 2,000 times, and every split is scored on its own images
as often as they were drawn. An image counts with all answers that its splits gave, right or wrong (a cluster bootstrap:
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8); so images that every split finds
hard widen the interval as they should. All methods are scored on the same resamples, so differences are paired on
images, too.

Training images, and with them the trained classifiers, stay as they were. Which images are copies of one picture can't
be known from records: each counts as an image of its own, and where there are many the interval is somewhat narrow.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # weights as floats: 16 MB


@dataclass(frozen=True)
class Outcomes:
    """A trial's test images, (n,) by their number in the sweep, and whether each was named rightly, (n,) bool."""

    images: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Resampled:
    """Accuracies (or differences of them) of `splits` (s,) on resampled images: `values` (resamples, s) float32.

    NaN where a resample holds no test image of a split.
    """

    splits: tuple[int, ...]
    values: np.ndarray

    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval of the mean over the splits; NaN where there is none."""
        known = ~np.isnan(self.values)
        counts = known.sum(axis=1)
        means = np.where(known, self.values, 0).sum(axis=1, dtype=np.float64)[counts > 0] / counts[counts > 0]
        if not len(means):
            return math.nan, math.nan
        low, high = np.percentile(means, (2.5, 97.5))
        return float(low), float(high)

    def minus(self, other: "Resampled") -> "Resampled":
        """The difference on the splits that both have; `other` must come from the same bootstrap."""
        common = sorted(set(self.splits) & set(other.splits))
        mine, theirs = ([each.splits.index(split) for split in common] for each in (self, other))
        return Resampled(tuple(common), self.values[:, mine] - other.values[:, theirs])


class ImageBootstrap:
    """Resamples of so many images, the same for whatever is scored on them.

    `seed` decides them: the same number of images gives the same resamples.
    """

    def __init__(self, images: int, resamples: int = RESAMPLES, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.images = images
        # How often each image is drawn in each resample; never near 255.
        self.times = np.zeros((resamples, images), np.uint8)
        for row in self.times:
            row[:] = np.bincount(random.integers(images, size=images), minlength=images)

    def accuracies(self, trials: Mapping[int, Outcomes]) -> Resampled:
        """Score each split's trial on every resample."""
        splits = tuple(sorted(trials))
        tested, right = (np.zeros((self.images, len(splits)), np.float32) for _ in range(2))
        for place, split in enumerate(splits):
            tested[trials[split].images, place] = 1
            right[trials[split].images, place] = trials[split].right
        values = np.full((len(self.times), len(splits)), np.nan, np.float32)
        rows = max(1, _AT_ONCE // max(1, self.images))
        for start in range(0, len(self.times), rows):
            weights = self.times[start : start + rows].astype(np.float32)
            counted = weights @ tested  # whole numbers: exact, whatever the order of sums
            np.divide(weights @ right, counted, out=values[start : start + rows], where=counted > 0)
        return Resampled(splits, values)
