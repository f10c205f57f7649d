"""The camera: a pinhole that looks at the body from an angle and keeps all of it inside a square frame."""

from dataclasses import dataclass

import numpy as np

from curate.body.skeleton import Array


@dataclass(frozen=True)
class View:
    """From where and how: degrees, with azimuth 0 in front of the body and 90 at its left.

    `lens` is the whole angle of view, `fill` the part of the frame that the body's longer side takes, `shift` how
    much of the room that is left is used to move it aside (x, y, each -1..1), `roll` a tilt of the camera.
    """

    azimuth: float
    elevation: float
    lens: float
    fill: float
    shift: tuple[float, float]
    roll: float


@dataclass(frozen=True)
class Camera:
    """`position` (3,), `axes` (3, 3) with rows right, up, ahead in the world, `focal` in half widths of the frame."""

    position: Array
    axes: Array
    focal: float

    def project(self, points: Array, size: int) -> tuple[Array, Array]:
        """Pixels (..., 2) with x to the right and y down, and the distance ahead (...) in metres."""
        seen = (points - self.position) @ self.axes.T
        ahead = seen[..., 2]
        plane = self.focal * seen[..., :2] / ahead[..., None]
        pixels = (np.array([1.0, 1.0]) + plane * [1.0, -1.0]) * size / 2
        return pixels, ahead

    def rays(self, size: int) -> Array:
        """Unit directions (size, size, 3) through the middles of the pixels, float32."""
        middle = (2 * (np.arange(size) + 0.5) / size - 1) / self.focal
        right, up, ahead = self.axes
        rays = middle[None, :, None] * right - middle[:, None, None] * up + ahead
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True), dtype=np.float32)

    def describe(self) -> dict[str, object]:
        """The camera as plain numbers, for a record."""
        return {
            "position": [round(float(value), 4) for value in self.position],
            "axes": [[round(float(value), 5) for value in row] for row in self.axes],
            "focal": round(self.focal, 5),
        }


def frame(view: View, centres: Array, radii: Array) -> Camera:
    """A camera that sees all balls (n, 3), (n,) as large as `view` asks, and stays above the floor."""
    focal = 1 / np.tan(np.deg2rad(view.lens / 2))
    target = (centres.min(axis=0) + centres.max(axis=0)) / 2
    axes = _axes(view)
    distance = 4.0
    for _ in range(8):
        camera = Camera(target - distance * axes[2], axes, float(focal))
        low, high = _bounds(camera, centres, radii)
        extent = (high - low).max() / 2
        distance *= extent / view.fill
        slack = np.maximum(1 - (high - low) / 2 / max(extent, 1e-9) * view.fill, 0)
        # Leave a margin even when the body is moved fully aside.
        wanted = np.array(view.shift) * np.maximum(slack - 0.06, 0)
        off = (low + high) / 2 - wanted
        target = target + (off[0] * axes[0] + off[1] * axes[1]) * distance / focal
    return Camera(target - distance * axes[2], axes, float(focal))


def _bounds(camera: Camera, centres: Array, radii: Array) -> tuple[Array, Array]:
    """Lowest and highest place (2,) in the frame, where -1..1 is its width, y up."""
    seen = (centres - camera.position) @ camera.axes.T
    ahead = np.maximum(seen[:, 2], 0.3)
    plane = camera.focal * seen[:, :2] / ahead[:, None]
    spread = camera.focal * (radii / ahead)[:, None]
    return (plane - spread).min(axis=0), (plane + spread).max(axis=0)


def _axes(view: View) -> Array:
    azimuth, elevation, roll = np.deg2rad([view.azimuth, view.elevation, view.roll])
    ahead = -np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)],
    )
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    return np.stack([right * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - right * np.sin(roll), ahead])
