"""The flesh: tapered capsules that hang on the bones, and the names of the places where a body touches things."""

from dataclasses import dataclass

import numpy as np

from curate.body.skeleton import BONE, SIDES, Array, Placement, Proportions

# Capsules of one group melt into each other; different groups only touch.
GROUPS = ("trunk", "left_arm", "right_arm", "left_leg", "right_leg", "hair")

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Capsule:
    """A capsule from `start` to `end` on one bone, with a radius at each; fractions of the body's height."""

    name: str
    bone: str
    start: Point
    end: Point
    start_radius: float
    end_radius: float
    group: int


@dataclass(frozen=True)
class Flesh:
    """A body's capsules as arrays in metres: `start`, `end` (n, 3) in the axes of `bone` (n,), `radii` (n, 2)."""

    names: tuple[str, ...]
    bone: Array
    start: Array
    end: Array
    radii: Array
    group: Array

    def ends(self, placement: Placement) -> Array:
        """World positions (..., n, 2, 3) of both ends of every capsule."""
        origins = placement.origins[..., self.bone, None, :]
        turns = placement.turns[..., self.bone, :, :]
        local = np.stack([self.start, self.end], axis=-1)
        world: Array = origins + np.swapaxes(turns @ local, -1, -2)
        return world


def flesh(people: Proportions) -> Flesh:
    """The body of a person with these proportions."""
    capsules = [*_trunk(people), *_head(people)]
    for side in SIDES:
        capsules += [*_arm(side, people), *_leg(side, people)]
    return Flesh(
        names=tuple(capsule.name for capsule in capsules),
        bone=np.array([BONE[capsule.bone] for capsule in capsules]),
        start=np.array([capsule.start for capsule in capsules]) * people.height,
        end=np.array([capsule.end for capsule in capsules]) * people.height,
        radii=np.array([(capsule.start_radius, capsule.end_radius) for capsule in capsules]) * people.height,
        group=np.array([capsule.group for capsule in capsules]),
    )


def _trunk(people: Proportions) -> list[Capsule]:
    g, hip, shoulder = people.girth, people.hip_half, people.shoulder_half
    loin, ribs = people.loin, people.ribs
    waist = people.waist * g
    capsules = [
        Capsule("pelvis", "root", (-hip * 0.72, 0.022, -0.002), (hip * 0.72, 0.022, -0.002), 0.056 * g, 0.056 * g, 0),
        Capsule("collar", "chest", (-shoulder * 0.8, ribs - 0.012, -0.006), (shoulder * 0.8, ribs - 0.012, -0.006),
                0.031 * g, 0.031 * g, 0),
        Capsule("nape", "chest", (0, ribs - 0.02, -0.012), (0, ribs + people.neck * 0.3, -0.008), 0.045 * g, 0.030, 0),
    ]  # fmt: skip
    for side, x in zip(SIDES, (1, -1), strict=True):
        capsules += [
            Capsule(f"{side}_buttock", "root", (x * hip * 0.82, -0.018, -0.026), (x * hip * 0.8, 0.012, -0.022),
                    0.052 * g, 0.046 * g, 0),
            Capsule(f"{side}_loin", "spine", (x * 0.030 * waist, -0.02, 0.004), (x * 0.026 * waist, loin * 0.8, 0.004),
                    0.052 * waist, 0.049 * waist, 0),
            Capsule(f"{side}_ribs", "chest", (x * 0.031, -0.012, 0.004), (x * shoulder * 0.46, ribs * 0.68, -0.004),
                    0.050 * g, 0.053 * g, 0),
        ]  # fmt: skip
        if people.bust > 0:
            size = 0.022 + 0.016 * people.bust
            start = (x * 0.040, ribs * 0.46, 0.030 + 0.008 * people.bust)
            capsules.append(Capsule(f"{side}_breast", "chest", start, start, size * g, size * g, 0))
    return capsules


def _head(people: Proportions) -> list[Capsule]:
    h, neck = people.head, people.neck * 0.5
    capsules = [
        Capsule("neck", "neck", (0, -neck, -0.004), (0, neck + 0.012, 0.002), 0.030, 0.030, 0),
        Capsule("skull", "neck", (0, neck + 0.060 * h, -0.014 * h), (0, neck + 0.064 * h, 0.010 * h),
                0.049 * h, 0.047 * h, 0),
        Capsule("face", "neck", (0, neck + 0.045 * h, 0.016 * h), (0, neck + 0.008 * h, 0.032 * h),
                0.041 * h, 0.021 * h, 0),
        Capsule("nose", "neck", (0, neck + 0.046 * h, 0.056 * h), (0, neck + 0.030 * h, 0.064 * h),
                0.005 * h, 0.0075 * h, 0),
    ]  # fmt: skip
    for side, x in zip(SIDES, (1, -1), strict=True):
        capsules.append(
            Capsule(f"{side}_ear", "neck", (x * 0.048 * h, neck + 0.050 * h, -0.004 * h),
                    (x * 0.045 * h, neck + 0.032 * h, -0.001 * h), 0.0095 * h, 0.007 * h, 0)
        )  # fmt: skip
    return capsules


def _arm(side: str, people: Proportions) -> list[Capsule]:
    g, h, group = people.girth, people.hand, GROUPS.index(f"{side}_arm")
    upper, fore = people.upper_arm, people.forearm

    def capsule(name: str, bone: str, start: Point, end: Point, a: float, b: float) -> Capsule:
        return Capsule(f"{side}_{name}", f"{side}_{bone}", start, end, a, b, group)

    capsules = [
        capsule("upper_arm", "shoulder", (0, -0.004, 0), (0, -upper, 0), 0.035 * g, 0.0245 * g),
        capsule("biceps", "shoulder", (0, -upper * 0.3, 0.003), (0, -upper * 0.6, 0.004), 0.030 * g, 0.028 * g),
        capsule("elbow", "elbow", (0, 0, 0), (0, -fore * 0.3, 0), 0.0245 * g, 0.0265 * g),
        capsule("forearm", "elbow", (0, -fore * 0.3, 0), (0, -fore, 0), 0.0265 * g, 0.0165 * g),
        capsule("thumb", "wrist", (0, -0.016 * h, 0.012 * h), (0, -0.052 * h, 0.035 * h), 0.0105 * h, 0.0075 * h),
        capsule("fingers", "wrist", (0, -0.052 * h, 0), (0, -0.102 * h, 0), 0.0105 * h, 0.0075 * h),
    ]
    for part, z in (("fore", 1), ("little", -1)):
        capsules += [
            capsule(f"{part}_palm", "wrist", (0, 0, z * 0.007 * h), (0, -0.050 * h, z * 0.014 * h),
                    0.015 * h, 0.0125 * h),
            capsule(f"{part}_fingers", "wrist", (0, -0.050 * h, z * 0.016 * h), (0, -0.094 * h, z * 0.015 * h),
                    0.0105 * h, 0.0075 * h),
        ]  # fmt: skip
    return capsules


def _leg(side: str, people: Proportions) -> list[Capsule]:
    g, f, group = people.girth, people.foot, GROUPS.index(f"{side}_leg")
    thigh, shank = people.thigh, people.shank
    inner = -1 if side == "left" else 1

    def capsule(name: str, bone: str, start: Point, end: Point, a: float, b: float) -> Capsule:
        return Capsule(f"{side}_{name}", f"{side}_{bone}", start, end, a, b, group)

    capsules = [
        capsule("thigh", "hip", (0, 0, -0.002), (0, -thigh, 0), 0.058 * g, 0.034 * g),
        capsule("quadriceps", "hip", (0, -thigh * 0.25, 0.006), (0, -thigh * 0.6, 0.006), 0.051 * g, 0.044 * g),
        capsule("knee", "knee", (0, 0, 0.003), (0, -shank * 0.3, -0.008), 0.033 * g, 0.036 * g),
        capsule("shin", "knee", (0, -shank * 0.3, -0.008), (0, -shank, 0), 0.036 * g, 0.0215 * g),
        capsule("heel", "ankle", (0, 0, -0.004 * f), (0, -0.020 * f, -0.028 * f), 0.0215 * f, 0.019 * f),
        capsule("instep", "ankle", (0, 0, 0.004 * f), (0, -0.020 * f, 0.060 * f), 0.0225 * f, 0.0175 * f),
    ]
    capsules.append(capsule("middle_toes", "toes", (0, 0, 0), (0, -0.005 * f, 0.038 * f), 0.0135 * f, 0.009 * f))
    for part, x in (("inner", inner), ("outer", -inner)):
        capsules += [
            capsule(f"{part}_sole", "ankle", (x * 0.006 * f, -0.020 * f, -0.026 * f),
                    (x * 0.017 * f, -0.0245 * f, 0.078 * f), 0.019 * f, 0.0145 * f),
            capsule(f"{part}_toes", "toes", (x * 0.016 * f, -0.001 * f, 0), (x * 0.014 * f, -0.005 * f, 0.036 * f),
                    0.0135 * f, 0.009 * f),
        ]  # fmt: skip
    return capsules


_FOOT = (("inner_sole", 0), ("inner_sole", 1), ("outer_sole", 0), ("outer_sole", 1))
_HAND = (("fore_palm", 1), ("little_palm", 1), ("fingers", 1), ("fore_palm", 0))
_PAIRED_CONTACTS: dict[str, tuple[tuple[str, int], ...]] = {
    "foot": _FOOT,
    "toes": (("inner_toes", 1), ("outer_toes", 1), ("inner_toes", 0), ("outer_toes", 0)),
    "heel": (("heel", 1),),
    "foot_edge": (("outer_sole", 0), ("outer_sole", 1)),
    "foot_top": (("instep", 1), ("inner_toes", 1), ("outer_toes", 1)),
    "knee": (("knee", 0),),
    "calf": (("shin", 0),),
    "ankle": (("shin", 1),),
    "thigh": (("quadriceps", 1),),
    "hand": _HAND,
    "fingers": (("fingers", 1), ("fore_fingers", 1), ("little_fingers", 1)),
    "elbow": (("elbow", 0),),
    "wrist": (("forearm", 1),),
    "seat": (("buttock", 0),),
    "ribs": (("ribs", 0), ("ribs", 1)),
    "loin": (("loin", 0),),
    "shoulder": (("upper_arm", 0),),
}
# The names that a pose may put on the floor or bring together -> (capsule, which end: 0 start, 1 end).
CONTACTS: dict[str, tuple[tuple[str, int], ...]] = {
    "head": (("skull", 0),),
    "forehead": (("skull", 1),),
    "chin": (("face", 1),),
    "neck": (("nape", 0),),
    "pelvis": (("pelvis", 0), ("pelvis", 1)),
} | {
    f"{side}_{name}": tuple((f"{side}_{capsule}", end) for capsule, end in places)
    for side in SIDES
    for name, places in _PAIRED_CONTACTS.items()
}
