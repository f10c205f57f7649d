"""A skeleton over the picture of a person: the more a joint adds to a class, the larger and brighter it is."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from curate.pose.people import BODY, BONES, NUMBER
from fewshot.explaining.joints import PARTS
from fewshot.explaining.overlay import pale, shades

_FINER = 4  # times as fine as the picture it is drawn, so that its edges are smooth
_EDGE = (25, 25, 25)  # around joints and bones, which stands out from any picture
_STEPS = 12  # of colour along a bone
_SHOULDERS = NUMBER["left_shoulder"], NUMBER["right_shoulder"]
_BONES = tuple(bone for bone in BONES if set(bone) <= set(BODY))
# In parts of the body's size: the radius of a joint that adds nothing, what is added to it for the most, half the width
# of a bone, and that of an edge.
_LEAST, _MORE, _BONE, _RIM = 0.010, 0.034, 0.009, 0.004
_SMALLEST, _LARGEST = 150.0, 420.0  # px: a body that is drawn as if it were no smaller, and no larger


def skeleton(picture: Image.Image, points: np.ndarray, contributions: np.ndarray) -> Image.Image:
    """`picture` (RGB) in pale grey, and over it the joints `points` (33, 2), in parts of its width and its height, NaN
    where one is not known.

    contributions: of each of joints.PARTS, (13,). The most has full colour and size, nothing and less have none; where
    none is above 0, all joints are alike.
    """
    large = np.array(picture.size) * _FINER
    canvas = pale(picture).resize(tuple(large.tolist()), Image.Resampling.BICUBIC)
    places = points * large
    unit = _size(places / _FINER) * _FINER
    strengths = np.clip(contributions / max(float(contributions.max()), np.finfo(np.float32).tiny), 0, 1)
    pen = ImageDraw.Draw(canvas)
    bones = list(_bones(places, strengths))
    for start, end, _ in bones:
        _line(pen, start, end, _EDGE, 2 * (_BONE + _RIM) * unit)
    for start, end, ends in bones:
        _shaded(pen, start, end, ends, 2 * _BONE * unit)
    for part in np.argsort(strengths):
        place, strength = places[PARTS[part][0]], strengths[part]
        if np.isfinite(place).all():
            radius = (_LEAST + _MORE * strength) * unit
            _disc(pen, place, radius + _RIM * unit, _EDGE)
            _disc(pen, place, radius, _colour(strength))
    return canvas.resize(picture.size, Image.Resampling.LANCZOS)


def _size(places: np.ndarray) -> float:
    """The longer side of the box around the known joints, in pixels, within bounds."""
    known = places[np.isfinite(places).all(axis=1)]
    return float(np.clip(np.ptp(known, axis=0).max(), _SMALLEST, _LARGEST)) if len(known) else _SMALLEST


def _bones(places: np.ndarray, strengths: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[float, float]]]:
    """Both ends of each bone that is known, and their strengths; the neck is a bone, too."""
    of = {joint: float(strengths[number]) for number, part in enumerate(PARTS) for joint in part}
    ends = [(places[a], places[b], (of[a], of[b])) for a, b in _BONES]
    middle = places[list(_SHOULDERS)].mean(axis=0)
    ends.append((places[0], middle, (of[0], (of[_SHOULDERS[0]] + of[_SHOULDERS[1]]) / 2)))
    for start, end, strength in ends:
        if np.isfinite([start, end]).all():
            yield start, end, strength


def _shaded(
    pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, strengths: tuple[float, float], width: float
) -> None:
    """A bone whose colour goes from that of the one end to that of the other."""
    for step in range(_STEPS):
        here, there = step / _STEPS, (step + 1) / _STEPS
        strength = strengths[0] + (strengths[1] - strengths[0]) * (here + there) / 2
        _line(pen, start + (end - start) * here, start + (end - start) * there, _colour(strength), width)


def _line(pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, colour: tuple[int, ...], width: float) -> None:
    """With round ends."""
    pen.line([tuple(start.tolist()), tuple(end.tolist())], fill=colour, width=max(1, round(width)))
    for place in (start, end):
        _disc(pen, place, width / 2, colour)


def _disc(pen: ImageDraw.ImageDraw, place: np.ndarray, radius: float, colour: tuple[int, ...]) -> None:
    pen.ellipse([*(place - radius).tolist(), *(place + radius).tolist()], fill=colour)


def _colour(strength: float) -> tuple[int, ...]:
    return tuple(shades(np.array([strength]))[0].tolist())
