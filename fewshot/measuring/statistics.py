"""Means over splits with their spread, and differences paired on splits.

What these intervals cover, and what they don't, is docs/statistics.md. In short: the plain interval says how far the
mean over *all* splits of this collection may lie from the mean over the ones that were run. Splits share images, so it
is much too narrow for "what would other images of this kind give"; that is what `overlap` is for.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LEVEL = 0.95
NAN = math.nan


@dataclass(frozen=True)
class Interval:
    """A mean over `n` splits with its sample standard deviation (ddof 1) and 95 % t-interval.

    With n = 1 nothing is known of the spread: `sd`, `low` and `high` are NaN (shown as "–"), never 0.
    With n = 0 the mean is NaN too. The ends aren't clipped to 0 and 1.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return not math.isnan(self.low)


def summarize(values: Sequence[float], overlap: float = 0.0) -> Interval:
    """The mean of one value a split, with a 95 % interval: mean ± t(n-1) * sd * sqrt(1/n + overlap / (1 - overlap)).

    overlap = 0 is the ordinary t-interval, which treats the splits as independent: it covers the choice of splits of
    ONE collection. They are not independent, for their test sets share images. With `overlap`, the expected share of
    a split's test images that another split tests too (the test fraction, for random splits), the variance is the
    corrected resampled one of Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003
    (their n2/n1 is overlap / (1 - overlap)): it covers the accuracy to expect on new images of the same kind.

    With overlap = 1 (every split has the same test images, as with an official split) no number of repetitions says
    anything of other images: `low` and `high` are NaN.
    """
    n = len(values)
    if n < 2:
        return Interval(n, float(values[0]) if n else NAN, NAN, NAN, NAN)
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    if overlap >= 1:
        return Interval(n, mean, sd, NAN, NAN)
    half = _quantile(n - 1) * sd * math.sqrt(1 / n + overlap / (1 - overlap))
    return Interval(n, mean, sd, mean - half, mean + half)


@lru_cache(maxsize=1024)
def _quantile(freedom: int) -> float:
    """Student's t, looked up once: a report asks for the same few thousands of times."""
    from scipy.special import stdtrit  # a second faster to import than scipy.stats

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def paired(a: Mapping[int, float], b: Mapping[int, float], overlap: float = 0.0) -> Interval:
    """The mean of a - b over the splits that both have, with its interval (see `summarize`).

    `a` and `b` map a split's number to a value. Both were measured on the same test images, so what makes a split easy
    or hard cancels out, and the interval is the one of the difference, not of two separate means.
    """
    common = sorted(a.keys() & b.keys())
    return summarize([a[split] - b[split] for split in common], overlap)


def measured_overlap(tests: Collection[Sequence[str]]) -> float:
    """The mean share of a split's test images that another split tests too, from the keys that each split tested.

    Between 0 and 1; 0 where there are fewer than two splits. For random splits it is close to the test fraction.
    """
    sizes = [len(keys) for keys in tests if len(keys)]
    times = Counter(key for keys in tests for key in keys)
    pairs = len(sizes) * (len(sizes) - 1)
    if not pairs:
        return 0.0
    shared = sum(count * (count - 1) for count in times.values())  # over ordered pairs of splits
    return shared / (pairs * float(np.mean(sizes)))
