"""What differs between pictures of one pose: which of its ways, the side, the build, a tremble, and from where."""

import numpy as np

from curate.body.poses import Pose
from curate.body.skeleton import DOFS, Array, Proportions

TREMBLE = 3.0  # degrees, standard deviation of each angle
_LOOSE = np.array([dof.joint != "root" for dof in DOFS])  # not where the whole body points


def way(pose: Pose, rng: np.random.Generator) -> Pose:
    """One of the pose's ways, each as often as its share says; a pose that has one way takes nothing from `rng`."""
    ways = pose.ways
    if len(ways) == 1:
        return ways[0]
    shares = np.array([each.share for each in ways])
    return ways[int(rng.choice(len(ways), p=shares / shares.sum()))]


def trembled(angles: Array, rng: np.random.Generator, degrees: float = TREMBLE) -> Array:
    """Angles (..., dofs) with a normal error of that standard deviation, cut at twice of it; the root's stay."""
    return angles + np.where(_LOOSE, rng.normal(0, degrees, angles.shape).clip(-2 * degrees, 2 * degrees), 0)


def azimuth(pose: Pose, rng: np.random.Generator) -> float:
    """Degrees, evenly from the ranges of one way of a pose."""
    widths = np.array([high - low + 1e-9 for low, high in pose.azimuth])
    low, high = pose.azimuth[int(rng.choice(len(widths), p=widths / widths.sum()))]
    return float(rng.uniform(low, high))


def build(rng: np.random.Generator) -> Proportions:
    """A person: two overlapping kinds of build, and spread within each."""
    base = Proportions()
    woman = rng.random() < 0.65
    around = {"height": 0.97, "waist": 0.90} if woman else {"height": 1.05, "shoulder_half": 1.12, "hip_half": 0.95,
                                                          "girth": 1.04, "bust": 0.0}  # fmt: skip
    spread = {"height": 0.03, "hip_half": 0.05, "shoulder_half": 0.05, "loin": 0.04, "ribs": 0.03, "neck": 0.06,
              "upper_arm": 0.025, "forearm": 0.025, "hand": 0.03, "thigh": 0.025, "shank": 0.025, "foot": 0.03,
              "head": 0.03, "girth": 0.07, "waist": 0.04, "bust": 0.4}  # fmt: skip
    factors = {
        name: around.get(name, 1.0) * float(np.clip(rng.normal(1, wide), 1 - 2 * wide, 1 + 2 * wide))
        for name, wide in spread.items()
    }
    return base.scaled(factors)
