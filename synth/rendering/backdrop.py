"""Where the person is: floor, wall, sky, mat and a few things that stand around."""

import colorsys
from dataclasses import dataclass

import numpy as np

from curate.body.skeleton import Array

KINDS = ("studio", "room", "park", "beach")
_FAR = 60.0  # metres, beyond which the floor meets the sky


@dataclass(frozen=True)
class Backdrop:
    """A place: its kind, three linear colours, a mat or none, and where the wall stands (metres, radians)."""

    kind: str
    floor: Array
    wall: Array
    accent: Array
    mat: Array | None
    mat_turn: float
    wall_away: float
    wall_turn: float
    grain: int

    @staticmethod
    def draw(rng: np.random.Generator) -> "Backdrop":
        """A place drawn at random."""
        kind = KINDS[int(rng.choice(len(KINDS), p=[0.3, 0.4, 0.18, 0.12]))]
        floor, wall = {
            "studio": (_colour(rng, (0, 1), (0, 0.18), (0.55, 0.92)),) * 2,
            "room": (
                _colour(rng, (0.05, 0.11), (0.2, 0.55), (0.3, 0.75)),
                _colour(rng, (0, 1), (0.0, 0.3), (0.5, 0.93)),
            ),
            "park": (
                _colour(rng, (0.2, 0.31), (0.4, 0.65), (0.35, 0.6)),
                _colour(rng, (0.54, 0.6), (0.15, 0.5), (0.85, 0.95)),
            ),
            "beach": (
                _colour(rng, (0.09, 0.12), (0.18, 0.35), (0.75, 0.9)),
                _colour(rng, (0.53, 0.6), (0.15, 0.5), (0.85, 0.97)),
            ),
        }[kind]  # fmt: skip
        return Backdrop(
            kind=kind,
            floor=floor,
            wall=wall,
            accent=_colour(rng, (0, 1), (0.2, 0.6), (0.3, 0.8)),
            mat=_colour(rng, (0, 1), (0.2, 0.7), (0.3, 0.8)) if rng.random() < 0.65 else None,
            mat_turn=float(rng.normal(0, 0.05)),
            wall_away=float(rng.uniform(0.7, 2.2)),
            wall_turn=float(rng.uniform(-0.35, 0.35)),
            grain=int(rng.integers(2**31)),
        )


def _colour(rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float],
            value: tuple[float, float]) -> Array:  # fmt: skip
    rgb = colorsys.hsv_to_rgb(*(float(rng.uniform(*span)) for span in (hue, saturation, value)))
    return np.array(rgb, np.float32) ** 2.2


@dataclass(frozen=True)
class Ground:
    """What rays see where no body is: `colour` (n, 3), and for those that meet the floor (`met`, (n,)) its `point`s."""

    colour: Array
    met: Array
    point: Array


def look(backdrop: Backdrop, eye: Array, rays: Array, extent: tuple[Array, Array]) -> Ground:
    """What rays (n, 3) from `eye` (3,) see; `extent` is the lowest and highest corner (2,), (2,) of the body's x, z."""
    down = rays[:, 1] < -1e-4
    reach = np.where(down, -eye[1] / np.where(down, rays[:, 1], -1), np.inf)
    away = (
        _wall_distance(backdrop, eye, rays, extent)
        if backdrop.kind == "room"
        else np.full(len(rays), _ends_at(backdrop, eye))
    )
    met = reach < away
    point = (eye + rays * np.where(met, reach, 0)[:, None]).astype(np.float32)
    colour = _behind(backdrop, eye, rays, away)
    floor = _floor(backdrop, point[met], reach[met])
    if backdrop.mat is not None:
        floor = _with_mat(backdrop, backdrop.mat, floor, point[met], extent)
    if backdrop.kind != "room":
        # The floor fades into what is behind it: a seamless paper in a studio, haze outdoors.
        start, end = (2.0, 9.0) if backdrop.kind == "studio" else (6.0, _FAR)
        haze = np.clip((reach[met] - np.linalg.norm(eye) - start) / (end - start), 0, 1)[:, None] ** 0.7
        floor = floor * (1 - haze) + colour[met] * haze
    colour[met] = floor
    return Ground(colour, met, point)


def _ends_at(backdrop: Backdrop, eye: Array) -> float:
    """How far away the floor gives way to what is behind it: the sea is nearer than the horizon."""
    return float(np.linalg.norm(eye)) + 7 if backdrop.kind == "beach" else _FAR


def _wall_distance(backdrop: Backdrop, eye: Array, rays: Array, extent: tuple[Array, Array]) -> Array:
    """How far along each ray the wall is that stands behind the body."""
    normal = _wall_normal(backdrop, eye)
    radius = float(np.linalg.norm(extent[1] - extent[0])) / 2
    facing = -(rays @ normal)
    distance = (eye @ normal + radius + backdrop.wall_away) / np.maximum(facing, 1e-3)
    return np.asarray(np.where(facing > 1e-3, distance, np.inf), np.float32)


def _wall_normal(backdrop: Backdrop, eye: Array) -> Array:
    turn = np.arctan2(eye[0], eye[2]) + backdrop.wall_turn
    return np.array([np.sin(turn), 0, np.cos(turn)], np.float32)


def _behind(backdrop: Backdrop, eye: Array, rays: Array, away: Array) -> Array:
    """The colour of what stands behind: wall, paper or sky."""
    if backdrop.kind == "room":
        return _wall(backdrop, eye, rays, away)
    height = np.clip(rays[:, 1:2], 0, 1)
    if backdrop.kind == "studio":
        return np.asarray(backdrop.wall * (1.02 - 0.5 * height), np.float32)
    sky = backdrop.wall * (1 - height) + backdrop.wall * np.array([0.5, 0.7, 1.0], np.float32) * height
    sky = 0.25 * (1 - np.clip(height * 6, 0, 1)) + sky * (0.75 + 0.25 * np.clip(height * 6, 0, 1))
    turn = np.arctan2(rays[:, 0], rays[:, 2])
    if backdrop.kind == "beach":
        sea = (rays[:, 1] < 0.0) & (rays[:, 1] > -0.2)
        sky[sea] = np.array([0.05, 0.25, 0.38], np.float32)
        return np.asarray(sky, np.float32)
    rough = np.sum([np.sin(turn * k + backdrop.grain % (17 * k)) / k for k in (5, 11, 23, 47)], axis=0)
    trees = rays[:, 1] < 0.05 + 0.03 * rough
    speckle = 0.8 + 0.4 * _hash(np.floor(turn * 60 + 2 * np.sin(rays[:, 1] * 90)), np.floor(rays[:, 1] * 80), 5)
    leaf = backdrop.floor * np.array([0.45, 0.6, 0.5]) * speckle[:, None]
    sky[trees] = 0.8 * leaf[trees] + 0.04
    return np.asarray(sky, np.float32)


def _wall(backdrop: Backdrop, eye: Array, rays: Array, away: Array) -> Array:
    """A plastered wall with a skirting board, and a picture or a window on it."""
    point = eye + rays * np.minimum(away, _FAR)[:, None]
    normal = _wall_normal(backdrop, eye)
    across = point @ np.array([normal[2], 0, -normal[0]])
    height = point[:, 1]
    colour = (
        backdrop.wall
        * (0.80 + 0.12 * np.clip(height / 2.5, 0, 1) + 0.05 * np.sin(across * 0.9 + backdrop.grain % 7))[:, None]
    )
    thing = backdrop.grain % 4
    centre = (backdrop.grain // 4 % 200 - 100) / 60
    frame = np.maximum(np.abs(across - centre) / 0.55, np.abs(height - 1.55) / 0.5)
    if thing == 1:  # a picture
        colour[frame < 1.06] = 0.05
        colour[frame < 1] = backdrop.accent
    elif thing == 2:  # a window
        colour[frame < 1.1] = 0.75
        light = np.array([0.78, 0.9, 1.0]) * (0.8 + 0.2 * np.clip(height[:, None] - 1, 0, 1))
        colour[frame < 1] = light[frame < 1]
        colour[(frame < 1) & ((np.abs(across - centre) < 0.025) | (np.abs(height - 1.55) < 0.025))] = 0.75
    elif thing == 3:  # a wall painted in two colours
        colour[height < 0.95] = backdrop.accent * 0.4 + backdrop.wall * 0.5
    colour[height < 0.09] = np.clip(backdrop.wall * 1.15 + 0.05, 0, 0.9)
    return np.asarray(colour, np.float32)


def _floor(backdrop: Backdrop, point: Array, reach: Array) -> Array:
    """The floor's own colour at points (n, 3): boards, grass, sand or paper; detail fades with distance."""
    x, z = point[:, 0], point[:, 2]
    detail = np.clip(6 / np.maximum(reach, 1e-3), 0, 1)
    if backdrop.kind == "room" and backdrop.grain % 3:
        board = np.floor(x / 0.14)
        tone = _hash(board, np.floor(z / 1.3 + _hash(board, board, 3) * 2), backdrop.grain)
        gap = np.abs(x / 0.14 - board - 0.5) > 0.47
        shade = 0.86 + 0.28 * tone + 0.05 * np.sin(x * 210 + 6 * np.sin(z * 3 + board)) * detail - 0.25 * gap * detail
    elif backdrop.kind in ("park", "beach"):
        coarse = 0.14 if backdrop.kind == "park" else 0.06
        shade = 1 + detail * coarse * (2 * _hash(np.floor(x * 70), np.floor(z * 45), backdrop.grain) - 1)
        shade = shade + coarse * np.sin(x * 2.1 + np.sin(z * 1.7) * 2) * 0.6
    else:
        shade = np.ones(len(point))
    return np.asarray(backdrop.floor * shade[:, None], np.float32)


def _with_mat(backdrop: Backdrop, dye: Array, floor: Array, point: Array, extent: tuple[Array, Array]) -> Array:
    """Lay a mat under the body, along its longer side."""
    low, high = extent
    middle, span = (low + high) / 2, high - low
    turn = backdrop.mat_turn + (np.pi / 2 if span[0] > span[1] else 0)
    plane = point[:, [0, 2]] - middle
    across = plane[:, 0] * np.cos(turn) - plane[:, 1] * np.sin(turn)
    along = plane[:, 0] * np.sin(turn) + plane[:, 1] * np.cos(turn)
    half = np.array([max(0.33, min(span) / 2 - 0.12), max(0.92, max(span) / 2 + 0.10)])
    edge = np.maximum(np.abs(across) - half[0], np.abs(along) - half[1])
    mat = dye * np.where(edge > -0.02, 0.75, 1.0)[:, None]
    return np.asarray(np.where((edge < 0)[:, None], mat, floor), np.float32)


def _hash(one: Array, other: Array, salt: int) -> Array:
    """A number in 0..1 for each pair of whole numbers, the same always."""
    mixed = (np.asarray(one, np.int64) * 374761393 + np.asarray(other, np.int64) * 668265263 + salt) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0x7FFFFFFF
    hashed: Array = ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0
    return hashed
