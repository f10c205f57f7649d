"""Drawing one image of a pose: solve the contacts, place the camera, trace, colour, light."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.body.camera import Camera, frame
from curate.body.capsules import flesh
from curate.body.contact_solver import SolvedBody, solve_contacts
from curate.body.poses import Pose, named
from curate.body.skeleton import Array
from synth.rendering import backdrop, shadow
from synth.rendering.appearance import colours, dressed
from synth.rendering.keypoints import find as find_keypoints
from synth.rendering.scene import Light, Scene, draw, generator
from synth.rendering.tracing import Hits, Solid, trace

SUPERSAMPLE = 2  # rays a pixel, along each side
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Rendering:
    """`image` RGB; `keypoints` (17, 3) in COCO's order: x, y in pixels and 0 outside the frame, 1 hidden, 2 visible;
    `mask` (size, size) true where the person is; the `camera` and the `solved` body behind them.
    """

    image: Image.Image
    keypoints: NDArray[np.float32]
    mask: NDArray[np.bool_]
    camera: Camera
    solved: SolvedBody


def render(pose: str | Pose, *, seed: int, size: int = 256, index: int = 0) -> Rendering:
    """Image number `index` of a pose; equal arguments give equal pixels. UsageError for the name of no shipped pose."""
    found = named(pose)
    return render_scene(draw(found, generator(found.name, seed, index)), size)


def render_scene(scene: Scene, size: int, camera: Camera | None = None) -> Rendering:
    """Draw a scene as a square of `size` pixels.

    camera: one that stands where it stood for another rendering; else it frames the body as the scene's view asks.
    """
    body = flesh(scene.people)
    solved = solve_contacts(scene.angles, scene.people, body, scene.goals)
    solid, named_parts = dressed(body, solved.placement, scene.people, scene.appearance)
    camera = camera or frame(scene.view, solid.ends.reshape(-1, 3), solid.radii.reshape(-1))
    fine = size * SUPERSAMPLE
    rays = camera.rays(fine)
    hits = trace(solid, camera, rays)
    shade = shadow.cast(solid, scene.light.towards)
    canvas = _surroundings(scene, solid, camera, shade, hits, rays)
    own = colours(hits, named_parts, solved.placement, scene.people, scene.appearance)
    canvas[hits.pixel] = _lit(own, hits, scene, camera, shade)
    cover = np.zeros(fine * fine, np.float32)
    cover[hits.pixel] = 1
    depth = np.full(fine * fine, np.inf, np.float32)
    depth[hits.pixel] = hits.distance
    return Rendering(
        image=_develop(_shrunk(canvas.reshape(fine, fine, 3)), scene.noise),
        keypoints=find_keypoints(solved.placement, scene.people, camera, depth.reshape(fine, fine), size),
        mask=_shrunk(cover.reshape(fine, fine, 1))[..., 0] >= 0.5,
        camera=camera,
        solved=solved,
    )


def _surroundings(
    scene: Scene, solid: Solid, camera: Camera, shade: shadow.ShadowMap, hits: Hits, rays: Array
) -> Array:
    """Linear RGB (n * n, 3) along rays (n, n, 3) of everything but the person, whose pixels are left at 0."""
    open_rays = np.ones(rays.shape[0] * rays.shape[1], bool)
    open_rays[hits.pixel] = False
    rays = rays.reshape(-1, 3)[open_rays]
    plane = solid.ends[..., [0, 2]].reshape(-1, 2)
    extent = (plane.min(axis=0), plane.max(axis=0))
    ground = backdrop.look(scene.backdrop, camera.position.astype(np.float32), rays, extent)
    colour = ground.colour * (0.25 + 0.75 * _mean_light(scene.light))
    near = ground.met & (np.abs(ground.point[:, [0, 2]] - plane.mean(axis=0)) < 3).all(axis=1)
    sun = np.ones(len(rays), np.float32)
    sun[near] = shade.on_floor(ground.point[near])
    sky = np.ones(len(rays), np.float32)
    sky[near] = shadow.touch(solid).at(ground.point[near])
    canvas = np.zeros((len(open_rays), 3), np.float32)
    canvas[open_rays] = colour * ((0.50 + 0.50 * sun) * sky)[:, None]
    return canvas


def jpeg(image: Image.Image, quality: int = _JPEG_QUALITY) -> bytes:
    """An image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _mean_light(light: Light) -> Array:
    whole: Array = light.colour * 0.62 + light.around
    return whole


def _lit(own: Array, hits: Hits, scene: Scene, camera: Camera, shade: shadow.ShadowMap) -> Array:
    """Light the body: sun with soft terminator and shadow, light from above and from the floor, and a faint rim."""
    light = scene.light
    facing = hits.normal @ light.towards.astype(np.float32)
    direct = np.clip((facing + 0.12) / 1.12, 0, 1) * shade.on_body(hits.point + hits.normal * 0.01)
    upward = 0.5 + 0.5 * hits.normal[:, 1]
    bounce = scene.backdrop.floor * 0.45
    around = light.around * (0.35 + 0.65 * upward[:, None]) + bounce * (1 - upward[:, None])
    to_eye = camera.position.astype(np.float32) - hits.point
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    grazing = 1 - np.clip((hits.normal * to_eye).sum(1), 0, 1)
    lit = own * (light.colour * direct[:, None] + around * hits.open[:, None])
    rim = 0.10 * grazing**3 * upward * hits.open
    return np.asarray(lit + rim[:, None] * light.around, np.float32)


def _shrunk(picture: Array) -> Array:
    """The mean of each block of supersampled pixels."""
    size = len(picture) // SUPERSAMPLE
    blocks = picture.reshape(size, SUPERSAMPLE, size, SUPERSAMPLE, -1)
    mean: Array = blocks.mean(axis=(1, 3))
    return mean


def _develop(linear: Array, noise: int) -> Image.Image:
    """Linear light to an sRGB picture: a soft shoulder, gamma, a little grain."""
    toned = linear * (1 + linear / 4) / (1 + linear)  # rolls off towards white at 2
    curve = np.clip(toned * 1.45, 0, 1) ** (1 / 2.2)
    grain = np.random.default_rng(noise).normal(0, 0.008, linear.shape[:2])[..., None]
    return Image.fromarray((np.clip(curve + grain, 0, 1) * 255 + 0.5).astype(np.uint8))
