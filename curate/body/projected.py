"""Skeletons from joint angles alone: what an estimator would find in photographs of a pose, without any photograph.

Each way of a pose is settled on the floor once for each of a few people; then each picture has a tremble of its own,
a person's build, a place of the camera, and the errors of an estimator.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from curate.body import variation
from curate.body.camera import View, frame
from curate.body.capsules import flesh
from curate.body.contact_solver import solve_contacts
from curate.body.poses import Pose
from curate.body.skeleton import SIDES, Array, Placement, Proportions, forward, mirrored
from curate.pose.people import JOINTS, NUMBER

VERSION = 1  # another one where `skeletons` gives other numbers for the same poses
_SIZE = 512  # pixels of the picture; a posture has no size
_PEOPLE = 1  # for whom each way is settled
_TREMBLE = 5.0  # degrees: people do a pose in more ways than the file has
_ERROR = 0.015  # of the body's longer side: the estimator's error in a joint, standard deviation

# Where a joint is, in the axes of a bone of the left side, in parts of the body's height; `head` ones are scaled by it.
_LIMBS = {
    "shoulder": ("shoulder", (0, 0, 0)), "elbow": ("elbow", (0, 0, 0)), "wrist": ("wrist", (0, 0, 0)),
    "pinky": ("wrist", (0, -0.050, -0.016)), "index": ("wrist", (0, -0.052, 0.016)),
    "thumb": ("wrist", (0, -0.040, 0.028)), "hip": ("hip", (0, 0, 0)), "knee": ("knee", (0, 0, 0)),
    "ankle": ("ankle", (0, 0, 0)), "heel": ("ankle", (0, -0.020, -0.030)), "foot_index": ("toes", (0, -0.003, 0.030)),
}  # fmt: skip
_FACE = {
    "nose": (0, 0.032, 0.066), "eye_inner": (0.012, 0.054, 0.050), "eye": (0.019, 0.053, 0.047),
    "eye_outer": (0.028, 0.053, 0.042), "ear": (0.050, 0.042, -0.003), "mouth": (0.015, 0.014, 0.055),
}  # fmt: skip


def digest(poses: Sequence[Pose]) -> str:
    """16 hex digits over the poses and this way of making skeletons of them."""
    return hashlib.sha256(" ".join([str(VERSION), *(pose.digest for pose in poses)]).encode()).hexdigest()[:16]


def skeletons(poses: Sequence[Pose], *, views: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`views` skeletons of each pose, as an estimator finds people in pictures of its own.

    Returns joints, (n, 33, 5) float32 as keypoints.joints has them (x, y, z in pixels, y downwards; visibility and
    presence are 1), and the number of the pose that each shows, (n,) int64, sorted. What is made of a pose depends on
    its content, `views` and `seed` alone, not on the others. Takes a second for some ten ways of poses.
    """
    if not poses or views < 1:
        return np.empty((0, len(JOINTS), 5), np.float32), np.empty(0, np.int64)
    made = [_of(pose, views, seed) for pose in poses]
    return np.concatenate(made), np.repeat(np.arange(len(poses)), views)


def _of(pose: Pose, views: int, seed: int) -> np.ndarray:
    """`views` skeletons of one pose, (views, 33, 5) float32."""
    told = hashlib.blake2b(f"fewpose skeletons\0{VERSION}\0{pose.digest}\0{seed}".encode(), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(told, "big"))
    parts = [
        _projected(way, people, count, rng)
        for way, number in zip(pose.ways, _counts(pose, views), strict=True)
        for people, count in _settled_for(number, rng)
    ]
    return np.concatenate(parts)


def _settled_for(number: int, rng: np.random.Generator) -> Iterator[tuple[Proportions, int]]:
    """The people for whom a way is settled, each with how many of its `number` pictures show them."""
    for each in range(min(_PEOPLE, number)):
        yield variation.build(rng), number // _PEOPLE + (each < number % _PEOPLE)


def _counts(pose: Pose, views: int) -> list[int]:
    """How many pictures show each of a pose's ways: by their shares, and `views` in all."""
    shares = np.cumsum([way.share for way in pose.ways])
    return [int(count) for count in np.diff(np.round(views * shares / shares[-1]), prepend=0)]


def _projected(way: Pose, people: Proportions, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures of one way of a pose, settled for one of these people, (count, 33, 5)."""
    settled = solve_contacts(way.angles, people, flesh(people), way.goals)
    angles = variation.trembled(np.tile(settled.angles, (count, 1)), rng, _TREMBLE)
    found = np.empty((count, len(JOINTS), 5), np.float32)
    for number, own in enumerate(angles):
        other_side = bool(rng.random() < 0.5)
        person = variation.build(rng)
        points = joints_of(forward(mirrored(own) if other_side else own, person), person)
        found[number] = _pictured(points, _view(way, other_side, rng), rng)
    return found


def _view(way: Pose, other_side: bool, rng: np.random.Generator) -> View:
    azimuth = variation.azimuth(way, rng)
    return View(
        azimuth=-azimuth if other_side else azimuth,
        elevation=float(rng.uniform(*way.elevation)),
        lens=float(rng.uniform(22, 48)),
        fill=0.8,
        shift=(0.0, 0.0),
        roll=float(rng.normal(0, 2.0)),
    )


def _pictured(points: Array, view: View, rng: np.random.Generator) -> np.ndarray:
    """Points (33, 3) in metres as an estimator finds them in a picture, (33, 5)."""
    camera = frame(view, points, np.full(len(points), 0.02))
    pixels, ahead = camera.project(points, _SIZE)
    pixels = pixels + rng.normal(0, _ERROR * np.ptp(pixels, axis=0).max(), pixels.shape)
    hips = ahead[[NUMBER["left_hip"], NUMBER["right_hip"]]].mean()
    depth = (ahead - hips) * camera.focal * _SIZE / 2 / hips
    return np.column_stack([pixels, depth, np.ones((len(points), 2))]).astype(np.float32)


def joints_of(placement: Placement, people: Proportions) -> Array:
    """Where the joints of people.JOINTS are in the world, (..., 33, 3) metres."""
    return np.stack([_joint(name, placement, people) for name in JOINTS], axis=-2)


def _joint(name: str, placement: Placement, people: Proportions) -> Array:
    words = name.split("_")
    side = next((word for word in words if word in SIDES), "")
    part = "_".join(word for word in words if word not in SIDES)
    sign = -1.0 if side == "right" else 1.0
    if part in _FACE:
        x, y, z = (people.head * number for number in _FACE[part])
        return placement.point("neck", np.array([sign * x, people.neck * 0.5 + y, z]) * people.height)
    bone, (x, y, z) = _LIMBS[part]
    scale = {"wrist": people.hand, "ankle": people.foot, "toes": people.foot}.get(bone, 1.0) * people.height
    return placement.point(f"{side}_{bone}", np.array([sign * x, y, z]) * scale)
