"""The skeleton: from joint angles to where every bone is (forward kinematics).

Axes, for the world and for every bone of a person who stands upright with hanging arms: x to the person's left,
y up, z forward (right-handed). Lengths are metres, angles degrees. A pose is a vector of `len(DOFS)` angles.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_X, _Y, _Z = 0, 1, 2
# Joint -> its angles in the order in which they multiply: (name, axis, sign on the left side, lowest, highest).
# A rotation about y or z changes its sign on the right side, so that one word means the same on both sides.
_TRUNK = (("twist", _Y, 1, -50, 50), ("flex", _X, 1, -60, 60), ("side", _Z, -1, -40, 40))
_CENTRAL = {
    "root": (("yaw", _Y, 1, -180, 180), ("pitch", _X, 1, -200, 200), ("roll", _Z, -1, -180, 180)),
    "spine": _TRUNK,
    "chest": _TRUNK,
    "neck": (("twist", _Y, 1, -75, 75), ("flex", _X, 1, -70, 95), ("side", _Z, -1, -45, 45)),
}
_PAIRED = {
    "shoulder": (("flex", _X, -1, -100, 200), ("abduct", _Z, 1, -60, 180), ("rotate", _Y, 1, -100, 100)),
    "elbow": (("flex", _X, -1, 0, 150), ("turn", _Y, -1, -95, 95)),
    "wrist": (("flex", _Z, -1, -95, 85), ("side", _X, -1, -35, 35)),
    "hip": (("flex", _X, -1, -50, 160), ("abduct", _Z, 1, -35, 95), ("rotate", _Y, 1, -60, 95)),
    "knee": (("flex", _X, 1, 0, 165),),
    "ankle": (("flex", _X, -1, -75, 45), ("tilt", _Z, -1, -40, 40)),
    "toes": (("flex", _X, -1, -45, 85),),
}
SIDES = ("left", "right")


@dataclass(frozen=True)
class Dof:
    """One angle of one joint, with its axis (0 x, 1 y, 2 z), its sign there, and its limits in degrees."""

    joint: str
    angle: str
    axis: int
    sign: int
    low: float
    high: float


def _list_dofs() -> tuple[Dof, ...]:
    dofs = [Dof(joint, *spec) for joint, specs in _CENTRAL.items() for spec in specs]
    for flip, side in zip((1, -1), SIDES, strict=True):
        for joint, specs in _PAIRED.items():
            for angle, axis, sign, low, high in specs:
                dofs.append(Dof(f"{side}_{joint}", angle, axis, sign * (1 if axis == _X else flip), low, high))
    return tuple(dofs)


DOFS = _list_dofs()
INDEX = {(dof.joint, dof.angle): place for place, dof in enumerate(DOFS)}
JOINTS = tuple(dict.fromkeys(dof.joint for dof in DOFS))
PAIRED = tuple(_PAIRED)
LOW = np.array([dof.low for dof in DOFS], dtype=float)
HIGH = np.array([dof.high for dof in DOFS], dtype=float)

# A bone carries the name of the joint at its beginning.
BONES = JOINTS
BONE = {name: place for place, name in enumerate(BONES)}
_PARENT = {"spine": "root", "chest": "spine", "neck": "chest"} | {
    f"{side}_{child}": parent if parent in _CENTRAL else f"{side}_{parent}"
    for side in SIDES
    for child, parent in (
        ("shoulder", "chest"),
        ("elbow", "shoulder"),
        ("wrist", "elbow"),
        ("hip", "root"),
        ("knee", "hip"),
        ("ankle", "knee"),
        ("toes", "ankle"),
    )
}


@dataclass(frozen=True)
class Proportions:
    """What differs between people. Lengths are fractions of `height` (metres); the rest are factors around 1."""

    height: float = 1.68
    hip_half: float = 0.054
    shoulder_half: float = 0.103
    loin: float = 0.105
    ribs: float = 0.135
    neck: float = 0.072
    upper_arm: float = 0.182
    forearm: float = 0.150
    hand: float = 1.0
    thigh: float = 0.245
    shank: float = 0.243
    foot: float = 0.94
    head: float = 1.0
    girth: float = 1.0
    waist: float = 1.0
    bust: float = 0.5

    def scaled(self, factors: dict[str, float]) -> "Proportions":
        """These proportions, each of the named ones multiplied by its factor."""
        return replace(self, **{name: getattr(self, name) * factor for name, factor in factors.items()})


@dataclass(frozen=True)
class Placement:
    """Where the bones are: `origins` (..., bones, 3) in metres and `turns` (..., bones, 3, 3), bone to world."""

    origins: Array
    turns: Array

    def point(self, bone: str, offset: tuple[float, float, float] | Array) -> Array:
        """World position (..., 3) of a point given in the axes of a bone."""
        place = BONE[bone]
        world: Array = self.origins[..., place, :] + self.turns[..., place, :, :] @ np.asarray(offset, dtype=float)
        return world


def forward(angles: Array, people: Proportions, position: Array | None = None) -> Placement:
    """Place the bones for `angles` (..., dofs) with the middle of the hips at `position` (..., 3), else at 0."""
    turns_of = _joint_turns(np.asarray(angles, dtype=float))
    batch = angles.shape[:-1]
    origins = np.zeros((*batch, len(BONES), 3))
    turns = np.zeros((*batch, len(BONES), 3, 3))
    for place, bone in enumerate(BONES):
        own = turns_of[bone]
        if bone == "root":
            origins[..., place, :] = 0 if position is None else position
            turns[..., place, :, :] = own
            continue
        parent = BONE[_PARENT[bone]]
        parent_turn = turns[..., parent, :, :]
        offset = _offset(bone, own, people)
        origins[..., place, :] = origins[..., parent, :] + (parent_turn @ offset[..., None])[..., 0]
        turns[..., place, :, :] = parent_turn @ own
    return Placement(origins, turns)


def mirrored(angles: Array) -> Array:
    """The same pose done on the other side: its reflection in the plane x = 0, left and right exchanged."""
    swapped = np.array(angles, dtype=float)
    for place, dof in enumerate(DOFS):
        side, _, joint = dof.joint.partition("_")
        if side in SIDES:
            other = SIDES[1 - SIDES.index(side)]
            swapped[..., INDEX[f"{other}_{joint}", dof.angle]] = angles[..., place]
        elif dof.axis != _X:
            swapped[..., place] = -angles[..., place]
    return swapped


def _joint_turns(angles: Array) -> dict[str, Array]:
    """Joint -> rotation (..., 3, 3): the product of its angles' rotations in their order."""
    radians = np.deg2rad(angles) * [dof.sign for dof in DOFS]
    cosine, sine = np.cos(radians), np.sin(radians)
    single = np.zeros((*angles.shape, 3, 3))
    for place, dof in enumerate(DOFS):
        first, second = (dof.axis + 1) % 3, (dof.axis + 2) % 3
        single[..., place, dof.axis, dof.axis] = 1
        single[..., place, first, first] = single[..., place, second, second] = cosine[..., place]
        single[..., place, first, second] = -sine[..., place]
        single[..., place, second, first] = sine[..., place]
    turns: dict[str, Array] = {}
    for place, dof in enumerate(DOFS):
        own = single[..., place, :, :]
        turns[dof.joint] = turns[dof.joint] @ own if dof.joint in turns else own
    return turns


def _offset(bone: str, own: Array, people: Proportions) -> Array:
    """Where a bone begins, in its parent's axes, (..., 3) in metres."""
    side, _, joint = bone.partition("_")
    left = 1.0 if side == "left" else -1.0
    fixed = {
        "spine": (0, 0.055, -0.008),
        "chest": (0, people.loin, 0),
        "neck": (0, people.ribs + 0.5 * people.neck, -0.004),
        "hip": (left * people.hip_half, 0, 0),
        "knee": (0, -people.thigh, 0),
        "ankle": (0, -people.shank, 0),
        "toes": (0, -0.024 * people.foot, 0.082 * people.foot),
        "elbow": (0, -people.upper_arm, 0),
        "wrist": (0, -people.forearm, 0),
    }
    if joint == "shoulder":
        return _shoulder_offset(left, own, people) * people.height
    return np.asarray(fixed[joint or bone], dtype=float) * people.height


def _shoulder_offset(left: float, own: Array, people: Proportions) -> Array:
    """The shoulder follows the arm: the blade lifts it with a raised arm and carries it forward or back."""
    arm = -own[..., :, 1]
    raised = np.clip((1 + arm[..., 1]) / 2, 0, 1) ** 1.5
    out = left * (people.shoulder_half - 0.012 * raised)
    up = people.ribs - 0.020 + 0.030 * raised
    ahead = -0.006 + 0.014 * arm[..., 2]
    return np.stack([out, up, ahead], axis=-1)
