"""What a person looks like: clothes, skin and hair, as the colour of every place on the body."""

from dataclasses import dataclass

import numpy as np

from curate.body.capsules import GROUPS, Flesh
from curate.body.skeleton import BONE, Array, Placement, Proportions
from synth.rendering.tracing import Hits, Solid

Colour = tuple[float, float, float]  # linear RGB, 0..1

# How far cloth reaches along a limb: 1 is its middle joint, 2 its end.
SLEEVES = {"none": 0.0, "bra": 0.0, "tank": 0.0, "tee": 0.5, "long": 1.88}
LEGS = {"shorts": 0.42, "capri": 1.38, "leggings": 1.93}
HAIRCUTS = ("short", "bun", "ponytail", "bob")

_LIMB = {  # capsule -> where it begins and ends along its limb
    "upper_arm": (0, 1), "biceps": (0.3, 0.6), "elbow": (1, 1.3), "forearm": (1.3, 2),
    "thigh": (0, 1), "quadriceps": (0.25, 0.6), "knee": (1, 1.3), "shin": (1.3, 2),
}  # fmt: skip
_SKIN, _TOP, _BOTTOM, _HAIR = range(4)


@dataclass(frozen=True)
class Appearance:
    """Cut and colours of one person."""

    top: str
    bottom: str
    haircut: str
    skin: Colour
    top_colour: Colour
    bottom_colour: Colour
    hair_colour: Colour


def dressed(flesh: Flesh, placement: Placement, people: Proportions, appearance: Appearance) -> tuple[Solid, Flesh]:
    """The body in the world with hair on; also the names of its capsules in the same order."""
    hair = _hair(appearance.haircut, placement, people)
    ends = np.concatenate([flesh.ends(placement), np.array([[start, end] for start, end, _, _ in hair])])
    radii = np.concatenate([flesh.radii, np.array([(a, b) for _, _, a, b in hair])])
    group = np.concatenate([flesh.group, np.full(len(hair), GROUPS.index("hair"))])
    names = (*flesh.names, *("hair" for _ in hair))
    return Solid(ends, radii, group), Flesh(names, flesh.bone, flesh.start, flesh.end, radii, group)


def _hair(haircut: str, placement: Placement, people: Proportions) -> list[tuple[Array, Array, float, float]]:
    """Capsules of hair in the world: start (3,), end (3,) and the radius at each, metres."""
    size, base = people.head * people.height, people.neck * 0.5 * people.height

    def place(x: float, y: float, z: float) -> Array:
        point = placement.point("neck", (x * size, y * size + base, z * size))
        return np.array([point[0], max(point[1], 0.012), point[2]])

    cap = [(place(0, 0.070, -0.022), place(0, 0.076, -0.002), 0.0500, 0.0475),
           (place(0, 0.045, -0.030), place(0, 0.030, -0.026), 0.0425, 0.036)]  # fmt: skip
    if haircut == "bun":
        cap.append((place(0, 0.112, -0.050), place(0, 0.116, -0.054), 0.024, 0.024))
    elif haircut == "bob":
        cap += [(place(x * 0.036, 0.066, -0.018), place(x * 0.038, 0.006, -0.022), 0.022, 0.017) for x in (1, -1)]
        cap.append((place(0, 0.050, -0.034), place(0, -0.006, -0.036), 0.038, 0.026))
    elif haircut == "ponytail":
        start = place(0, 0.086, -0.062)
        back = place(0, 0.05, -0.2) - place(0, 0.05, 0)
        fall = back / np.linalg.norm(back) * 0.55 + np.array([0, -0.83, 0])
        middle, end = start + fall * 0.075, start + fall * 0.075 + np.array([0, -0.11, 0])
        middle[1], end[1] = max(middle[1], 0.03), max(end[1], 0.02)
        cap += [(start, middle, 0.017, 0.020), (middle, end, 0.020, 0.010)]
    return [(start, end, a * size, b * size) for start, end, a, b in cap]


def colours(hits: Hits, flesh: Flesh, placement: Placement, people: Proportions, appearance: Appearance) -> Array:
    """The colour (N, 3) in linear RGB of every place on the body that was hit."""
    first, split, second = np.array([_cloth(name, appearance) for name in flesh.names]).T
    material = np.where(hits.along < split[hits.capsule], first[hits.capsule], second[hits.capsule]).astype(int)
    palette = np.array([appearance.skin, appearance.top_colour, appearance.bottom_colour, appearance.hair_colour])
    colour = palette[material]
    head = np.isin(np.array(flesh.names), ("skull", "face"))[hits.capsule]
    local = hits.point[head] - placement.origins[BONE["neck"]]
    local = local @ placement.turns[BONE["neck"]] / (people.height * people.head)
    local[:, 1] -= people.neck * 0.5 / people.head
    colour[head] = _face(local, appearance, colour[head])
    result: Array = colour
    return result


def _cloth(name: str, appearance: Appearance) -> tuple[int, float, int]:
    """Material at the start of a capsule, where along it that ends, and the material after."""
    part = name.removeprefix("left_").removeprefix("right_")
    if name == "hair":
        return _HAIR, 2, _HAIR
    if part in _LIMB:
        arm = part in ("upper_arm", "biceps", "elbow", "forearm")
        reach = (SLEEVES[appearance.top] if arm else LEGS[appearance.bottom]) or -1
        start, end = _LIMB[part]
        return (_TOP if arm else _BOTTOM), (reach - start) / (end - start), _SKIN
    bare = appearance.top in ("none", "bra")
    if appearance.top == "none" and part in ("ribs", "breast"):
        return _SKIN, 2, _SKIN
    covered = {
        "pelvis": (_BOTTOM, 2, _BOTTOM),
        "buttock": (_BOTTOM, 2, _BOTTOM),
        "loin": (_BOTTOM, 0.25, _SKIN if bare else _TOP),
        "ribs": (_SKIN, 0.3, _TOP) if bare else (_TOP, 2, _TOP),
        "breast": (_TOP, 2, _TOP),
        "collar": (_SKIN, 2, _SKIN) if appearance.top in ("none", "bra", "tank") else (_TOP, 2, _TOP),
    }
    return covered.get(part, (_SKIN, 2, _SKIN))


def _face(local: Array, appearance: Appearance, colour: Array) -> Array:
    """Eyes, brows, mouth and the hairline, painted on the head; `local` (n, 3) is in heights from the skull's base."""
    x, y, z = np.abs(local[:, 0]), local[:, 1], local[:, 2]
    front = z > 0.02
    painted = colour.copy()
    painted[(y > 0.094) | ((z < -0.012) & (y > 0.012))] = appearance.hair_colour
    skin = np.array(appearance.skin)
    for centre, radii, ink in (
        ((0.0190, 0.0530), (0.0078, 0.0046), skin * 0.05 + 0.01),
        ((0.0195, 0.0640), (0.0098, 0.0024), 0.35 * skin + 0.3 * np.array(appearance.hair_colour)),
        ((0.0, 0.0150), (0.0130, 0.0034), skin * [0.75, 0.34, 0.34]),
    ):
        inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
        painted[inside & front] = ink
    return painted
