"""The temperature that makes a classifier's probabilities true on images that it did not learn from."""

import numpy as np
from scipy.optimize import brentq

# How far the temperature may be from the logits' own spread, either way. At a twentieth of it, all but one class have
# a probability of nothing; at twenty times, all have the same within a few per cent. Beyond, nothing is left to choose.
# Logits that are right of every held-out image have their least log loss at 0, those worse than chance at infinity.
FURTHEST = 20.0


def temperature(logits: np.ndarray, labels: np.ndarray, unknown: float = 0) -> float:
    """What logits (n, classes) are to be divided by for their softmax to have the least log loss, to 4 digits.

    Guo et al. 2017 (arXiv 1706.04599), section 4.2. The loss is convex in 1 / temperature, so that the place where its
    derivative changes its sign is the only one. Bounded to [1/20, 20] of the logits' spread: the standard deviation of
    an image's logits, over the classes that occur in `labels`. 1.0 where all logits are alike.

    unknown: so many images more, each as the mean of these and as likely of any class as of any other. Where nearly all
    images are right, a single one keeps the temperature from being far too small.
    """
    logits = logits.astype(np.float64)
    spread = float(np.sqrt(logits[:, np.unique(labels)].var(axis=1).mean()))
    if spread == 0:
        return 1.0
    scaled = (logits - logits.max(axis=1, keepdims=True)) / spread
    own = scaled[np.arange(len(labels)), labels].mean() + unknown / len(labels) * scaled.mean()

    def derivative(log_inverse: float) -> float:
        """The derivative of the log loss with respect to 1 / temperature."""
        powers = np.exp(np.exp(log_inverse) * scaled)
        expected = ((powers * scaled).sum(axis=1) / powers.sum(axis=1)).mean()
        return float((1 + unknown / len(labels)) * expected - own)

    ends = -np.log(FURTHEST), np.log(FURTHEST)
    if derivative(ends[0]) >= 0:
        best = ends[0]
    elif derivative(ends[1]) <= 0:
        best = ends[1]
    else:
        best = brentq(derivative, *ends, xtol=1e-7)
    return float(f"{spread / np.exp(best):.4g}")
