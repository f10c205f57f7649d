"""Skeletons that a ControlNet is shown: from our renderer or from keypoints, drawn as OpenPose draws them.

A collection's `keypoints.jsonl`, where it has one, holds keypoints by whatever detector or person:
{"id": content id, "keypoints": [[x, y, v], ... 17]} in COCO's order (synth/rendering/keypoints.py), in pixels of the
upright picture, v 0 for what is not there, 1 hidden, 2 visible. Of several lines for one image the last counts.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from curate.body.camera import frame
from curate.body.capsules import flesh
from curate.body.contact_solver import solve_contacts
from curate.body.poses import named, shipped
from curate.collection import yoga82
from curate.collection.directory import Collection
from curate.foundation import json_files, resources
from curate.foundation.errors import UsageError
from synth.generate.image_job import Control
from synth.rendering.appearance import dressed
from synth.rendering.keypoints import HIDDEN, NAMES, OUTSIDE, VISIBLE
from synth.rendering.keypoints import find as find_keypoints
from synth.rendering.scene import draw as draw_scene
from synth.rendering.scene import generator
from synth.rendering.tracing import trace

FILE = "keypoints.jsonl"

Keypoints = tuple[tuple[float, float, int], ...]

# OpenPose's 18 points, each with its colour, as controlnet_aux draws them and ControlNet saw them in training.
_NECK = "neck"
_COLOURS = {
    "nose": (255, 0, 0),
    _NECK: (255, 85, 0),
    "right_shoulder": (255, 170, 0),
    "right_elbow": (255, 255, 0),
    "right_wrist": (170, 255, 0),
    "left_shoulder": (85, 255, 0),
    "left_elbow": (0, 255, 0),
    "left_wrist": (0, 255, 85),
    "right_hip": (0, 255, 170),
    "right_knee": (0, 255, 255),
    "right_ankle": (0, 170, 255),
    "left_hip": (0, 85, 255),
    "left_knee": (0, 0, 255),
    "left_ankle": (85, 0, 255),
    "right_eye": (170, 0, 255),
    "left_eye": (255, 0, 255),
    "right_ear": (255, 0, 170),
    "left_ear": (255, 0, 85),
}
# Its 17 limbs in the order in which they are drawn, over each other; limb i has the colour of point i, darkened.
_LIMBS = (
    (_NECK, "right_shoulder"),
    (_NECK, "left_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    (_NECK, "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    (_NECK, "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    (_NECK, "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)
_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_DARKER = 0.6
_RADIUS = 4 / 512  # of points, and half the width of limbs, in parts of the square's side
_TRACED = 96  # pixels: suffices to tell what is hidden


@dataclass(frozen=True)
class View:
    """One of the endlessly many ways in which our renderer shows a pose."""

    pose: str
    seed: int
    index: int


def poses_of(label: str) -> tuple[str, ...]:
    """The poses of data/poses.yaml that show a class: the one of that name, else those of its folder in Yoga-82."""
    poses = shipped()
    if label in poses:
        return (label,)
    known = yoga82.find(label)
    return tuple(name for name, pose in poses.items() if pose.yoga82 in (label, known.folder if known else label))


def poses_digest() -> str:
    """16 hex digits over data/poses.yaml: what the renderer shows depends on it."""
    return hashlib.sha256(resources.path("poses.yaml").read_bytes()).hexdigest()[:16]


def from_renderer(view: View) -> Control:
    """The skeleton that `synth.rendering.render.render` would show for the same pose, seed and index.

    Raises UsageError for an unknown pose.
    """
    pose = named(view.pose)
    scene = draw_scene(pose, generator(view.pose, view.seed, view.index))
    body = flesh(scene.people)
    solved = solve_contacts(scene.angles, scene.people, body, scene.goals)
    solid, _ = dressed(body, solved.placement, scene.people, scene.appearance)
    camera = frame(scene.view, solid.ends.reshape(-1, 3), solid.radii.reshape(-1))
    hits = trace(solid, camera, camera.rays(_TRACED))
    depth = np.full(_TRACED * _TRACED, np.inf, np.float32)
    depth[hits.pixel] = hits.distance
    found = find_keypoints(solved.placement, scene.people, camera, depth.reshape(_TRACED, _TRACED), 1)
    return Control(f"pose {view.pose} {view.seed} {view.index}", _plain(found))


def from_keypoints(id: str, found: np.ndarray, picture: tuple[int, int], image: tuple[int, int]) -> Control:
    """The skeleton of a real picture, laid as `sources.picture` lays the picture into an image.

    found: (17, 3) pixels and visibility. picture, image: width and height in pixels.
    """
    scale = min(image[0] / picture[0], image[1] / picture[1]) / min(image)
    places = 0.5 + (found[:, :2] - np.array(picture) / 2) * scale
    return Control(id, _plain(np.concatenate([places, found[:, 2:]], axis=1)))


def stored(collection: Collection) -> dict[str, np.ndarray]:
    """Content id -> (17, 3) pixels and visibility. Raises UsageError for a line that is none of ours."""
    path = collection.file(FILE)
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json_files.parse_object(line)
            points = np.array(told["keypoints"], np.float64)
            id = str(told["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}, line {number}: {_EXPECTED}") from error
        if points.shape != (len(NAMES), 3) or not np.isfinite(points).all() or not _are_visibilities(points[:, 2]):
            raise UsageError(f"{path}, line {number}: {_EXPECTED}")
        found[id] = points
    return found


_EXPECTED = 'expected {"id": content id, "keypoints": 17 times [x, y, visibility 0, 1 or 2]}'


def _are_visibilities(values: np.ndarray) -> bool:
    return set(values.tolist()) <= {OUTSIDE, HIDDEN, VISIBLE}


def _plain(found: np.ndarray) -> Keypoints:
    return tuple((round(float(x), 5), round(float(y), 5), int(seen)) for x, y, seen in found)


def digest(control: Control) -> str:
    """64 hex digits over what a skeleton was drawn from, and its points."""
    return hashlib.sha256(json.dumps([control.id, control.keypoints]).encode()).hexdigest()


def draw(control: Control, width: int, height: int) -> Image.Image:
    """The skeleton on black, RGB, as OpenPose draws it: `width` x `height` pixels.

    Hidden joints are drawn: a detector, too, guesses them. But of a head only what is visible, because eyes and nose
    say that the face is turned to us.
    """
    side = min(width, height)
    points = {
        name: (width / 2 + (x - 0.5) * side, height / 2 + (y - 0.5) * side)
        for name, (x, y, seen) in zip(NAMES, control.keypoints, strict=True)
        if seen == VISIBLE or (seen == HIDDEN and name not in _HEAD)
    }
    if "left_shoulder" in points and "right_shoulder" in points:
        (ax, ay), (bx, by) = points["left_shoulder"], points["right_shoulder"]
        points[_NECK] = ((ax + bx) / 2, (ay + by) / 2)
    image = Image.new("RGB", (width, height))
    canvas = ImageDraw.Draw(image)
    radius = max(1.0, _RADIUS * side)
    for colour, (one, other) in zip(_COLOURS.values(), _LIMBS, strict=False):
        if one in points and other in points:
            dark = tuple(int(part * _DARKER) for part in colour)
            canvas.polygon(_ellipse(points[one], points[other], radius), fill=dark)
    for name, colour in _COLOURS.items():
        if name in points:
            x, y = points[name]
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image


def _ellipse(one: tuple[float, float], other: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    """The outline of a limb: an ellipse whose long axis goes from joint to joint."""
    across, down = other[0] - one[0], other[1] - one[1]
    half, turn = math.hypot(across, down) / 2, math.atan2(down, across)
    middle = np.array([(one[0] + other[0]) / 2, (one[1] + other[1]) / 2])
    turned = (
        _circle() * (half, radius) @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    )
    return [(float(x), float(y)) for x, y in turned + middle]


@cache
def _circle() -> np.ndarray:
    around = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return np.stack([np.cos(around), np.sin(around)], axis=1)
