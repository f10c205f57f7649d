"""Which joints decide: what each part of the body adds to the odds of a class.

A part's contribution is its Shapley value (Shapley 1953): how much the log odds of the class rise when the part becomes
known, on average over the orders in which the parts can become known. A part that is not known yet is taken away as
where an estimator does not find it: its joints are NaN, and posture.filled puts stand-ins. The contributions of all
parts add up to the log odds of the whole body less those of nobody.

There are thousands of orders, so the average is over some that are drawn at random and each one's reverse, which lowers
the error (Štrumbelj and Kononenko, An efficient explanation of individual classifications using game theory, 2010;
Mitchell et al., Sampling permutations for Shapley value estimation, 2022). The draw is the same for every picture, and
one pass through the forest answers for all orders and classes.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from curate.pose.people import JOINTS, NUMBER
from fewshot.classifier import BodyClassifier

_OF_A_SIDE = ("shoulder", "elbow", "wrist pinky index thumb", "hip", "knee", "ankle heel foot_index")
# The parts of a body, as numbers of people.JOINTS, each by its main joint: the head with the face, a wrist with its
# hand, an ankle with its foot.
PARTS = (
    tuple(range(11)),
    *(tuple(NUMBER[f"{side}_{each}"] for each in part.split()) for part in _OF_A_SIDE for side in ("left", "right")),
)
_ORDERS = 32  # drawn; with their reverses 64


def contributions(classifier: BodyClassifier, joints: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """What each of PARTS adds to the log odds of each of `classes`: (len(classes), 13) float64, below 0 where a part
    speaks against the class.  joints: (33, 5), as keypoints.joints; a part of which no joint is known adds 0.
    """
    step = _orders()
    known = step[:, None] < np.arange(len(PARTS) + 1)[:, None]  # (orders, parts known, part)
    asked, place = np.unique(known.reshape(-1, len(PARTS)), axis=0, return_inverse=True)
    odds = log_odds(classifier.logits(with_parts(joints, asked)), classes)[place.ravel()]
    gains = np.diff(odds.reshape(len(step), len(PARTS) + 1, len(classes)), axis=1)
    return np.asarray(np.take_along_axis(gains, step[..., None], axis=1).mean(axis=0).T)


def with_parts(joints: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A body of which only some parts are known, again and again.

    joints: (33, 5).  known: (n, 13) bool.  Returns (n, 33, 5), NaN where a joint is taken away.
    """
    return np.where(known[:, _PART, None], joints, np.nan).astype(np.float32)


def log_odds(logits: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Of each of `classes` its logit less the logsumexp of all others': logits (n, c) -> (n, len(classes)) float64."""
    found = [logits[:, each] - logsumexp(np.delete(logits, each, axis=1), axis=1) for each in classes]
    return np.stack(found, axis=1).astype(np.float64)


def _orders() -> np.ndarray:
    """(64, 13): at which step each part becomes known, in each order."""
    random = np.random.default_rng(0)
    drawn = np.stack([random.permutation(len(PARTS)) for _ in range(_ORDERS)])
    return np.concatenate([drawn, len(PARTS) - 1 - drawn])


def _part_of_joints() -> np.ndarray:
    found = np.zeros(len(JOINTS), np.int64)
    for number, part in enumerate(PARTS):
        found[list(part)] = number
    return found


_PART = _part_of_joints()  # of each joint its number in PARTS
