"""Contact solver: changes a pose's angles a little, until this person's body stands, lies or holds as the pose says.

Angles alone cannot say that both hands and both feet are on the floor: that depends on the lengths of the limbs,
which differ between people. So a pose also names its contacts, and a damped least-squares search finds the nearest
angles within the joints' limits that make them true, keep the rest above the floor, and keep limbs out of each other.
"""

from dataclasses import dataclass

import numpy as np

from curate.body.capsules import CONTACTS, Flesh
from curate.body.skeleton import DOFS, HIGH, LOW, SIDES, Array, Placement, Proportions, forward

ROUNDS = 14
# What one unit of cost is worth: a contact may be off by 3 mm, a limb may press 2 cm deep into another, an angle may
# change by 8 degrees, and the centre of mass may stand 3 cm beside the middle of what carries it.
CONTACT, PRESS, ANGLE, BALANCE = 0.003, 0.02, 8.0, 0.03
_LIMBS = {
    "upper_arm": 2, "forearm": 3, "thigh": 3, "quadriceps": 2, "knee": 2, "shin": 3, "inner_sole": 2, "fingers": 1,
}  # fmt: skip
_TRUNK = {"pelvis": 2, "left_loin": 2, "right_loin": 2, "left_ribs": 2, "right_ribs": 2, "face": 2, "skull": 1}


@dataclass(frozen=True)
class Goals:
    """What must be true of a solved body; the names are those of `curate.body.capsules.CONTACTS`."""

    floor: tuple[str, ...] = ()
    touch: tuple[tuple[str, str], ...] = ()
    balance: bool = False

    def mirrored(self) -> "Goals":
        """The same with left and right exchanged."""
        touch = tuple((_other_side(one), _other_side(other)) for one, other in self.touch)
        return Goals(tuple(_other_side(name) for name in self.floor), touch, self.balance)


def _other_side(name: str) -> str:
    side, _, part = name.partition("_")
    return f"{SIDES[1 - SIDES.index(side)]}_{part}" if side in SIDES else name


@dataclass(frozen=True)
class SolvedBody:
    """What the solver found: angles (dofs,), the middle of the hips (3,), bones, and the worst contact in metres."""

    angles: Array
    position: Array
    placement: Placement
    miss: float


def solve_contacts(angles: Array, people: Proportions, flesh: Flesh, goals: Goals) -> SolvedBody:
    """The nearest pose to `angles` (dofs,) that meets the goals; the body's middle ends above x = z = 0.

    Miss is how far the worst floor contact is from the floor, or the worst touch from touching.
    """
    cost = _Cost(angles, people, flesh, goals)
    solution = np.append(np.clip(angles, LOW, HIGH), cost.resting_height(angles))
    damping = 1e-2
    residual = cost(solution[None])[0]
    for _ in range(ROUNDS):
        jacobian = cost.jacobian(solution, residual)
        felt = jacobian.any(axis=1)  # most pairs of limbs are far apart and say nothing
        slope, pull = jacobian[felt], residual[felt]
        # einsum: a product this small only loses time when a library spreads it over threads.
        normal = np.einsum("ri,rj->ij", slope, slope)
        gradient = np.einsum("ri,r->i", slope, pull)
        stuck = cost.at_limit(solution, gradient)
        gradient[stuck] = normal[stuck] = normal[:, stuck] = 0
        step = np.linalg.solve(normal + damping * np.eye(len(normal)), -gradient)
        tried = cost.within_limits(solution + step * cost.scale)
        changed = cost(tried[None])[0]
        before, after = residual @ residual, changed @ changed
        if after < before:
            solution, residual, damping = tried, changed, max(damping / 4, 1e-6)
            if after > 0.9998 * before and damping < 1e-4:
                break
        else:
            damping *= 8
    # Rounded, so that the last bits of a linear-algebra library do not reach the picture.
    solution = np.round(solution, 4)
    placed = forward(solution[:-1], people, np.array([0, solution[-1], 0]))
    middle = np.append(flesh.ends(placed)[..., [0, 2]].mean(axis=(0, 1)), 0)
    position = np.array([-middle[0], solution[-1], -middle[1]])
    placed = forward(solution[:-1], people, position)
    return SolvedBody(solution[:-1], position, placed, cost.miss(solution))


class _Cost:
    """The residuals of a candidate: (batch, dofs + 1) -> (batch, m); the last column is the hips' height."""

    def __init__(self, angles: Array, people: Proportions, flesh: Flesh, goals: Goals) -> None:
        self.asked = angles
        self.people = people
        self.flesh = flesh
        place = {name: index for index, name in enumerate(flesh.names)}
        floor = [(place[capsule], end) for name in goals.floor for capsule, end in CONTACTS[name]]
        self.floor = np.array(floor, dtype=int).reshape(-1, 2)
        touch = [(place[c], e) for pair in goals.touch for name in pair for c, e in CONTACTS[name][:1]]
        self.touch = np.array(touch, dtype=int).reshape(-1, 2, 2)
        self.balance = goals.balance
        self.balls, self.pairs = _balls(flesh)
        self.free = np.array([dof.joint != "root" or dof.angle != "yaw" for dof in DOFS] + [True])
        self.scale = np.append(np.full(len(DOFS), ANGLE), 0.05) * self.free
        volume = (flesh.radii**2).sum(axis=1) * (np.linalg.norm(flesh.end - flesh.start, axis=1) + flesh.radii.mean(1))
        self.mass = volume / volume.sum()

    def resting_height(self, angles: Array) -> float:
        """The hips' height at which the lowest part of the body rests, with these angles, on the floor."""
        ends = self.flesh.ends(forward(angles, self.people))
        return float(-(ends[..., 1] - self.flesh.radii).min())

    def at_limit(self, solution: Array, gradient: Array) -> Array:
        """The angles that are at a limit and would be pushed beyond it, (dofs + 1,) booleans."""
        angles, down = solution[:-1], -gradient[:-1]
        return np.append(((angles <= LOW) & (down < 0)) | ((angles >= HIGH) & (down > 0)), False)

    def within_limits(self, solution: Array) -> Array:
        clipped = solution.copy()
        clipped[:-1] = np.clip(solution[:-1], LOW, HIGH)
        return clipped

    def jacobian(self, solution: Array, residual: Array) -> Array:
        """d residual / d (solution / scale), by differences, (m, dofs + 1)."""
        step = 1e-3
        nudged = solution + np.diag(self.scale * step)
        return ((self(nudged) - residual) / step).T

    def _floor_and_touch(self, ends: Array) -> tuple[Array, Array]:
        radii = self.flesh.radii
        capsule, end = self.floor.T
        floor = ends[:, capsule, end, 1] - radii[capsule, end]
        one, other = self.touch[:, 0].T, self.touch[:, 1].T
        gap = ends[:, one[0], one[1]] - ends[:, other[0], other[1]]
        reach = 0.92 * (radii[one[0], one[1]] + radii[other[0], other[1]])
        return floor, np.sqrt((gap**2).sum(-1) + 1e-12) - reach

    def miss(self, solution: Array) -> float:
        position = np.array([[0, solution[-1], 0]])
        ends = self.flesh.ends(forward(solution[None, :-1], self.people, position))
        floor, touch = self._floor_and_touch(ends)
        return float(max(np.abs(floor).max(initial=0), touch.max(initial=0)))

    def __call__(self, solution: Array) -> Array:
        position = np.zeros((len(solution), 3))
        position[:, 1] = solution[:, -1]
        ends = self.flesh.ends(forward(solution[:, :-1], self.people, position))
        floor, touch = self._floor_and_touch(ends)
        under = np.minimum(ends[..., 1] - self.flesh.radii, 0).reshape(len(solution), -1)
        parts = [
            floor / CONTACT,
            touch / CONTACT,
            under / CONTACT,
            self._press(ends) / PRESS,
            (solution[:, :-1] - self.asked) / ANGLE,
        ]
        if self.balance:
            parts.append(self._off_balance(ends) / BALANCE)
        return np.concatenate(parts, axis=1)

    def _press(self, ends: Array) -> Array:
        """How deep limbs are in each other or in the trunk, (batch, pairs) metres."""
        capsule, along, radius = self.balls
        centre = ends[:, capsule, 0] * (1 - along[:, None]) + ends[:, capsule, 1] * along[:, None]
        one, other = self.pairs
        apart = np.sqrt(((centre[:, one] - centre[:, other]) ** 2).sum(-1) + 1e-12)
        result: Array = np.maximum(radius[one] + radius[other] - apart, 0)
        return result

    def _off_balance(self, ends: Array) -> Array:
        """From the middle of the floor contacts to the centre of mass, on the floor, (batch, 2) metres."""
        capsule, end = self.floor.T
        centre = (ends.mean(axis=2) * self.mass[:, None]).sum(axis=1)
        result: Array = (centre - ends[:, capsule, end].mean(axis=1))[:, [0, 2]]
        return result


def _balls(flesh: Flesh) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
    """Balls inside the body (capsule, place along it, radius), and the pairs of them that must not overlap."""
    counts = _TRUNK | {f"{side}_{name}": count for side in SIDES for name, count in _LIMBS.items()}
    rows = []
    for place, name in enumerate(flesh.names):
        count = counts.get(name, 0)
        for at in (np.arange(count) + 0.5) / max(count, 1):
            start, end = flesh.radii[place]
            rows.append((place, at, start + (end - start) * at))
    table = np.array(rows)
    capsule, along, radius = table[:, 0].astype(int), table[:, 1], table[:, 2]
    one, other = np.triu_indices(len(rows), 1)
    group = flesh.group[capsule]
    # Near the joint a limb always overlaps the trunk.
    root = np.array([flesh.names[c].endswith(("upper_arm", "thigh")) for c in capsule]) & (along < 0.5)
    apart = (group[one] != group[other]) & ~(root[one] & (group[other] == 0)) & ~(root[other] & (group[one] == 0))
    return (capsule, along, radius), (one[apart], other[apart])
