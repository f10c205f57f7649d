"""The shadow that a body casts under a far light: a picture of the body from the light, and how to ask it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from curate.body.skeleton import Array
from synth.rendering.tracing import Distance, Solid

SIZE = 160
_COARSE = 112


@dataclass(frozen=True)
class ShadowMap:
    """The body from the light: `depth` (SIZE, SIZE) along `axes[2]`, inf beside it, and its outline, crisp and soft."""

    axes: Array
    corner: Array
    scale: float
    depth: Array
    crisp: Array
    soft: Array

    def _texel(self, points: Array) -> tuple[Array, Array]:
        seen = points @ self.axes.T.astype(np.float32)
        return (seen[:, :2] - self.corner) * self.scale - 0.5, seen[:, 2]

    def on_body(self, points: Array, bias: float = 0.03) -> Array:
        """How much light reaches points of the body (n,), 0..1: softened over a few texels."""
        texel, depth = self._texel(points)
        light = np.zeros(len(points), np.float32)
        taps = ((0, 0), (-1.1, 0.4), (1.1, -0.4), (0.4, 1.1), (-0.4, -1.1))
        for tap in taps:
            column, row = np.rint(texel + np.array(tap, np.float32)).astype(int).T
            inside = (column >= 0) & (row >= 0) & (column < SIZE) & (row < SIZE)
            blocker = np.where(inside, self.depth[np.clip(row, 0, SIZE - 1), np.clip(column, 0, SIZE - 1)], np.inf)
            light += (depth < blocker + bias) / len(taps)
        return light

    def on_floor(self, points: Array) -> Array:
        """How much light reaches points of the floor (n,), 0..1: crisp near what casts the shadow, soft far from it."""
        texel, depth = self._texel(points)
        crisp, soft = _bilinear(self.crisp, texel), _bilinear(self.soft, texel)
        blocker = _bilinear(np.where(np.isfinite(self.depth), self.depth, np.nan), texel)
        spread = np.clip(np.nan_to_num(depth - blocker, nan=0.8) / 0.8, 0, 1)
        shadow: Array = 1 - (crisp * (1 - spread) + soft * spread)
        return shadow


def cast(solid: Solid, light: Array) -> ShadowMap:
    """The shadow of the body under light that comes from the direction `light` (3,)."""
    ahead = -np.asarray(light) / np.linalg.norm(light)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, ahead), ahead])
    seen = solid.ends @ axes.T
    margin = solid.radii.max() + 0.12
    corner = seen[..., :2].min(axis=(0, 1)) - margin
    scale = SIZE / (seen[..., :2].max(axis=(0, 1)) + margin - corner).max()
    depth = _splat(seen, solid.radii, corner, scale)
    outline = Image.fromarray(np.where(np.isfinite(depth), 255, 0).astype(np.uint8))
    crisp, soft = (
        np.asarray(outline.filter(ImageFilter.GaussianBlur(float(metres * scale))), np.float32) / 255
        for metres in (0.012, 0.06)
    )
    return ShadowMap(axes, corner.astype(np.float32), float(scale), depth, crisp, soft)


def _splat(seen: Array, radii: Array, corner: Array, scale: float) -> Array:
    """Draw every capsule as a disc that slides along its axis, nearest wins; (SIZE, SIZE) depths, inf where empty."""
    depth = np.full((SIZE, SIZE), np.inf, np.float32)
    for (start, end), (first, last) in zip(seen, radii, strict=True):
        reach = max(first, last)
        low = np.floor((np.minimum(start, end)[:2] - reach - corner) * scale).astype(int).clip(0, SIZE)
        high = np.ceil((np.maximum(start, end)[:2] + reach - corner) * scale).astype(int).clip(0, SIZE)
        x = ((np.arange(low[0], high[0]) + 0.5) / scale + corner[0] - start[0]).astype(np.float32)
        y = ((np.arange(low[1], high[1]) + 0.5) / scale + corner[1] - start[1]).astype(np.float32)[:, None]
        axis = (end - start)[:2]
        along = np.clip((x * axis[0] + y * axis[1]) / max(axis @ axis, 1e-9), 0, 1)
        apart2 = (x - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2
        radius = first + along * (last - first)
        surface = start[2] + along * (end - start)[2] - np.sqrt(np.maximum(radius**2 - apart2, 0))
        patch = depth[low[1] : high[1], low[0] : high[0]]
        np.minimum(patch, np.where(apart2 < radius**2, surface, np.inf), out=patch)
    return depth


def _bilinear(picture: Array, texel: Array) -> Array:
    """Values (n,) of a picture at texels (n, 2), with its border repeated outside."""
    place = np.clip(texel, 0, len(picture) - 1.001)
    column, row = np.floor(place).astype(int).T
    x, y = (place - np.floor(place)).T
    top = picture[row, column] * (1 - x) + picture[row, column + 1] * x
    bottom = picture[row + 1, column] * (1 - x) + picture[row + 1, column + 1] * x
    mixed: Array = top * (1 - y) + bottom * y
    return mixed


@dataclass(frozen=True)
class ContactMap:
    """How open the sky is above the floor around a body: 0..1 in a grid over x and z."""

    corner: Array
    scale: Array
    opened: Array

    def at(self, points: Array) -> Array:
        """Openness (n,) at points of the floor (n, 3): dark right under and beside the body."""
        return _bilinear(self.opened, (points[:, [0, 2]] - self.corner) * self.scale)


def touch(solid: Solid) -> ContactMap:
    """Where a body darkens the floor because it touches it or hangs just above."""
    low = np.flatnonzero((solid.ends[..., 1] - solid.radii).min(axis=1) < 0.35)
    margin = solid.radii.max() + 0.2
    plane = solid.ends[..., [0, 2]]
    corner, far = plane.min(axis=(0, 1)) - margin, plane.max(axis=(0, 1)) + margin
    scale = (_COARSE - 1) / (far - corner)
    across, along = np.meshgrid(*(corner[:, None] + np.arange(_COARSE) / scale[:, None]))
    distance = Distance(solid, low)
    opened = np.ones(across.size, np.float32)
    for height, share in ((0.02, 0.35), (0.10, 0.25)):
        above = np.stack([across, np.full_like(across, height), along], axis=-1).reshape(-1, 3).astype(np.float32)
        opened -= share * np.clip(1 - distance(above) / (height * 1.6), 0, 1)
    return ContactMap(corner, scale, opened.reshape(_COARSE, _COARSE))
