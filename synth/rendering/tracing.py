"""Ray marching: where the rays of a camera first meet a body made of capsules that melt into each other."""

from dataclasses import dataclass

import numpy as np

from curate.body.camera import Camera
from curate.body.skeleton import Array

TILE = 48  # pixels; rays of one tile look only at the capsules near it
STEPS = 28  # few rays need more than ten; those that graze a limb do
BUNDLE = 8  # pixels on a side, whose rays go together until they come near the body
_LEAST_STEP = 0.005  # metres, and more with every step, so that a grazing ray gets past
NEAR_ENOUGH = 0.0025  # metres; a ray at 256 pixels is about twice that from the next
MELT = 0.011  # metres over which the capsules of a group melt into each other
# Products of at most this many multiplications are done by one thread of OpenBLAS: the result then does not depend on
# the number of CPUs, and no time is lost in waking threads for so little.
_ONE_THREAD = 250_000
_REACH = 0.07  # metres around a capsule within which it can darken its neighbours


@dataclass(frozen=True)
class Solid:
    """Capsules in the world: `ends` (n, 2, 3) and `radii` (n, 2) in metres, `group` (n,) ascending."""

    ends: Array
    radii: Array
    group: Array


@dataclass(frozen=True)
class Hits:
    """Where rays met the body, for N of size * size pixels: flat `pixel` numbers (N,) in rising order, `distance`
    along the ray (N,), `point` and `normal` (N, 3), the `capsule` met (N,) and the place `along` it 0..1 (N,), and
    how `open` the surroundings are, 0..1 (N,).
    """

    pixel: Array
    distance: Array
    point: Array
    normal: Array
    capsule: Array
    along: Array
    open: Array


class Distance:
    """The signed distance from points to some capsules, written as one matrix product and a few array operations."""

    def __init__(self, solid: Solid, chosen: Array) -> None:
        start, end = solid.ends[chosen, 0], solid.ends[chosen, 1]
        axis = end - start
        length2 = np.maximum((axis**2).sum(-1), 1e-8)
        count = len(chosen)
        # matrix @ [x y z 1] = (p - start) . axis, then |p - start|^2 - |p|^2
        matrix = np.empty((2 * count, 4))
        matrix[:count, :3], matrix[:count, 3] = axis, -(start * axis).sum(-1)
        matrix[count:, :3], matrix[count:, 3] = -2 * start, (start**2).sum(-1)
        self.matrix = matrix.astype(np.float32)
        self.count = count
        self.chosen = chosen
        self.start, self.axis = start.astype(np.float32), axis.astype(np.float32)
        self.length2 = length2.astype(np.float32)[:, None]
        self.radius = solid.radii[chosen, 0].astype(np.float32)[:, None]
        self.taper = (solid.radii[chosen, 1] - solid.radii[chosen, 0]).astype(np.float32)[:, None]
        self.group = solid.group[chosen]
        self.first = np.flatnonzero(np.diff(self.group, prepend=-1))

    # Capsules come first and points last in these arrays: numpy reduces over the first axis much faster.

    def each(self, points: Array) -> tuple[Array, Array]:
        """Distance of points (r, 3) to each capsule and the place along it, both (count, r)."""
        homogeneous = np.ones((4, len(points)), np.float32)
        homogeneous[:3] = points.T
        step = max(_ONE_THREAD // (8 * self.count), 1)
        product = np.empty((2 * self.count, len(points)), np.float32)
        for first in range(0, len(points), step):
            np.matmul(self.matrix, homogeneous[:, first : first + step], out=product[:, first : first + step])
        along_axis, offset2 = product[: self.count], product[self.count :]
        offset2 += (homogeneous[:3] ** 2).sum(axis=0)
        along = np.minimum(np.maximum(along_axis / self.length2, 0), 1)
        apart2 = offset2 - along * (2 * along_axis - along * self.length2)
        return np.sqrt(np.maximum(apart2, 1e-10)) - self.radius - along * self.taper, along

    def groups(self, each: Array) -> tuple[Array, Array]:
        """Melted distance to each group (groups, r), and the weight of each capsule in it (count, r)."""
        weight = np.exp(np.minimum(np.maximum(each, -0.3), 0.9) * np.float32(-1 / MELT))
        total = np.maximum(np.add.reduceat(weight, self.first, axis=0), 1e-37)
        return np.float32(-MELT) * np.log(total), weight

    def __call__(self, points: Array) -> Array:
        """Distance (r,) from each point (r, 3) to the body."""
        nearest: Array = self.groups(self.each(points)[0])[0].min(axis=0)
        return nearest


def trace(solid: Solid, camera: Camera, rays: Array) -> Hits:
    """Meet the body with the rays (size, size, 3) of the camera."""
    size = len(rays)
    # Around the origin float32 is at its best, so everything is measured from the body's middle.
    middle = solid.ends.mean(axis=(0, 1))
    local = Solid(solid.ends - middle, solid.radii, solid.group)
    eye = (camera.position - middle).astype(np.float32)
    met, near = (_near_tiles(solid, camera, size, margin) for margin in (2 * MELT, _REACH))
    found = []
    for row, column in np.argwhere(met.any(axis=-1)):
        rows, columns = (slice(at * TILE, min((at + 1) * TILE, size)) for at in (row, column))
        tile = rays[rows, columns]
        pixel = (np.arange(size)[rows, None] * size + np.arange(size)[columns]).ravel()
        of_tile = _trace_tile(Distance(local, np.flatnonzero(near[row, column])), eye, tile, pixel)
        if of_tile is not None:
            found.append(of_tile)
    fields = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    fields[2] = fields[2] + middle.astype(np.float32)
    order = np.argsort(fields[0])
    return Hits(*(field[order] for field in fields))


def _near_tiles(solid: Solid, camera: Camera, size: int, margin: float) -> Array:
    """Which capsules the rays of a tile pass within `margin` metres, (rows, columns, n) booleans."""
    pixels, ahead = camera.project(solid.ends, size)
    reach = (solid.radii + margin) * camera.focal / (ahead - solid.radii) * size / 2
    count = -(-size // TILE)
    middle = (np.arange(count) + 0.5) * TILE
    centre = np.stack(np.meshgrid(middle, middle), axis=-1)[:, :, None]
    axis = pixels[:, 1] - pixels[:, 0]
    along = ((centre - pixels[:, 0]) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1e-9)
    nearest = pixels[:, 0] + np.clip(along, 0, 1)[..., None] * axis
    near: Array = np.linalg.norm(centre - nearest, axis=-1) < reach.max(axis=-1) + TILE * 0.71
    return near


def _trace_tile(distance: Distance, eye: Array, rays: Array, pixel: Array) -> tuple[Array, ...] | None:
    """The fields of Hits for one tile of rays (h, w, 3), or None when every ray passes by."""
    ends = np.concatenate([distance.start, distance.start + distance.axis])
    ahead = np.linalg.norm(ends - eye, axis=-1)
    far = float(ahead.max()) + 0.35
    travelled = _bundles(distance, eye, rays, max(float(ahead.min()) - 0.35, 0.05), far).ravel()
    rays = rays.reshape(-1, 3)
    active = np.flatnonzero(travelled < far)
    met = np.zeros(len(rays), bool)
    for count in range(STEPS):
        gap = distance(eye + rays[active] * travelled[active, None])
        least = np.float32(_LEAST_STEP * (1 + count / 6))
        travelled[active] += np.maximum(gap, np.where(gap < NEAR_ENOUGH, 0, least))
        met[active[gap < NEAR_ENOUGH]] = True
        active = active[(gap >= NEAR_ENOUGH) & (travelled[active] < far)]
        if not len(active):
            break
    if not met.any():
        return None
    travelled = travelled[met]
    point = eye + rays[met] * travelled[:, None]
    return (pixel[met], travelled, point, *_surface(distance, point))


def _bundles(distance: Distance, eye: Array, rays: Array, near: float, far: float) -> Array:
    """How far each ray of a tile (h, w, 3) can go at least, (h, w) float32; beyond `far` where it passes by.

    One ray speaks for a bundle of neighbours: it stops where the body comes nearer than the bundle is wide.
    """
    height, width = rays.shape[:2]
    row, column = np.arange(height) // BUNDLE, np.arange(width) // BUNDLE
    middles = [
        np.minimum(np.unique(of) * BUNDLE + BUNDLE // 2, end - 1) for of, end in ((row, height), (column, width))
    ]
    lead = rays[middles[0][:, None], middles[1]]
    wide = np.float32(np.sqrt(((rays - lead[row[:, None], column]) ** 2).sum(axis=-1).max()) * 1.01)
    lead = lead.reshape(-1, 3)
    reached = np.full(len(lead), near, np.float32)
    active = np.arange(len(lead))
    for _ in range(STEPS):
        gap = distance(eye + lead[active] * reached[active, None]) - reached[active] * wide
        reached[active] += np.maximum(gap, 0)
        active = active[(gap > 2 * NEAR_ENOUGH) & (reached[active] < far)]
        if not len(active):
            break
    grid = reached.reshape(len(middles[0]), len(middles[1]))
    return np.asarray(grid[row[:, None], column], np.float32)


def _surface(distance: Distance, point: Array) -> tuple[Array, Array, Array, Array]:
    """Normal (N, 3), capsule (N,), along (N,) and openness (N,) at points on the surface."""
    each, along = distance.each(point)
    groups, weight = distance.groups(each)
    winner = groups.argmin(axis=0)
    of_group = np.searchsorted(distance.first, np.arange(distance.count), side="right") - 1
    weight = np.where(of_group[:, None] == winner, weight, 0)
    weight = weight / weight.sum(axis=0)
    strongest = weight.argmax(axis=0)
    # The gradient of each capsule is the direction away from its axis, tilted by its taper.
    normal = np.zeros_like(point)
    for place in range(distance.count):
        start, axis = distance.start[place], distance.axis[place]
        away = point - start - along[place][:, None] * axis
        away /= np.sqrt(away[:, 0] ** 2 + away[:, 1] ** 2 + away[:, 2] ** 2)[:, None] + 1e-9
        tilt = (distance.taper[place] / distance.length2[place]) * ((along[place] > 0) & (along[place] < 1))
        normal += weight[place][:, None] * (away - tilt[:, None] * axis)
    normal /= np.sqrt(normal[:, 0] ** 2 + normal[:, 1] ** 2 + normal[:, 2] ** 2)[:, None] + 1e-9
    opened = np.ones(len(point), np.float32)
    for step, share in ((0.02, 0.45), (0.06, 0.55)):
        opened -= share * np.clip(1 - distance(point + normal * np.float32(step)) / step, 0, 1)
    return normal, distance.chosen[strongest], along[strongest, np.arange(len(point))], np.clip(opened, 0, 1)
