"""A posture as numbers: a person's joints without place and size, and what is derived from them.

All functions take many postures at once: `points` (n, 33, 2), x and y of people.JOINTS in pixels (y downwards), NaN
where a joint is not known, and `seen` (n, 33), how sure each is, 0 to 1.
"""

from collections.abc import Iterator

import numpy as np

from curate.pose.people import JOINTS, NUMBER, OTHER_SIDE

VERSION = 1  # another one where `features` gives other numbers

# The joints that a posture consists of: the face's details and the fingers but one follow from them.
KEPT = tuple(NUMBER[name] for name in JOINTS if name == "nose" or name.partition("_")[2] in (
    "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "foot_index"
))  # fmt: skip
_PLACED = (*KEPT, NUMBER["left_index"], NUMBER["right_index"])


def _pairs(*names: str) -> list[tuple[int, ...]]:
    """Of "shoulder elbow" both sides: numbers of joints."""
    return [tuple(NUMBER[f"{side}_{name}"] for name in limb.split()) for limb in names for side in ("left", "right")]


_LIMBS = _pairs("shoulder elbow", "elbow wrist", "hip knee", "knee ankle", "ankle foot_index", "wrist index")
_ANGLES = _pairs(
    "shoulder elbow wrist", "elbow shoulder hip", "shoulder hip knee", "hip knee ankle", "knee ankle foot_index"
)
_ENDS = [NUMBER["nose"], *(number for pair in _pairs("wrist", "ankle") for number in pair)]
_TO = [NUMBER["nose"], *(number for pair in _pairs("shoulder", "hip", "knee", "wrist", "ankle") for number in pair)]

# Where an unknown joint is put: at the first of these that is known.
_STAND_INS = {
    "shoulder": ("other shoulder", "elbow", "hip"), "elbow": ("wrist", "shoulder"),
    "wrist": ("index", "pinky", "thumb", "elbow"), "pinky": ("index", "wrist"), "index": ("pinky", "wrist"),
    "thumb": ("index", "wrist"), "hip": ("other hip", "knee", "shoulder"), "knee": ("ankle", "hip"),
    "ankle": ("heel", "foot_index", "knee"), "heel": ("ankle", "foot_index"), "foot_index": ("ankle", "heel"),
}  # fmt: skip


def _stand_ins() -> dict[int, list[int]]:
    found = {NUMBER["nose"]: [number for number, name in enumerate(JOINTS) if 1 <= number <= 10]}
    for side, other in (("left", "right"), ("right", "left")):
        for name, others in _STAND_INS.items():
            found[NUMBER[f"{side}_{name}"]] = [
                NUMBER[each.replace("other", other).replace(" ", "_") if each.startswith("other") else f"{side}_{each}"]
                for each in others
            ]
    return found


_STANDS_IN = _stand_ins()
_ROUNDS = 4  # a whole leg may be unknown: from the foot to the hip, and on to the other one


def filled(points: np.ndarray) -> np.ndarray:
    """Unknown joints put where the nearest known one of the same limb is, or else the other side's; where nothing is
    known, at the middle of what is.
    """
    if np.isfinite(points).all():
        return points  # what follows takes 3 ms of the 4 that the features of one posture cost
    found = points.copy()
    for _ in range(_ROUNDS):
        for joint, others in _STANDS_IN.items():
            for other in others:
                here = ~np.isfinite(found[:, joint, 0]) & np.isfinite(found[:, other, 0])
                found[here, joint] = found[here, other]
    known = np.isfinite(found)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    middle = np.where(known, found, 0).sum(1, keepdims=True) / count
    return np.where(known, found, middle)


def normalised(points: np.ndarray) -> np.ndarray:
    """Without place and size: the middle of shoulders and hips is the origin, and the joints' root mean square distance
    from it is 1. (n, 33, 2); unknown joints as `filled` puts them.
    """
    whole = filled(points)
    trunk = [NUMBER[f"{side}_{name}"] for side in ("left", "right") for name in ("shoulder", "hip")]
    moved = whole - whole[:, trunk].mean(1, keepdims=True)
    size = np.sqrt(np.square(moved[:, KEPT]).sum(-1).mean(1))
    return np.asarray(moved / np.maximum(size, 1e-6)[:, None, None], np.float32)


def views(points: np.ndarray, seen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The four postures that one can be taken for: as it is, mirrored, with left and right confused, and both.

    A mirror image of a person shows the same posture; and estimators confuse the sides of who is seen from behind or
    upside down.
    """
    flipped = points * np.array([-1, 1], points.dtype)
    yield points, seen
    yield flipped[:, OTHER_SIDE], seen[:, OTHER_SIDE]
    yield points[:, OTHER_SIDE], seen[:, OTHER_SIDE]
    yield flipped, seen


def features(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What classifiers learn from, (n, 178) float32.

    The places of 19 joints; direction and length of 12 limbs, the trunk, the neck, the shoulders and the hips; cosine
    and size (radians) of 10 angles; distances of the head, the hands and the feet from eleven joints; how sure the
    joints are.
    """
    p = normalised(points)
    limbs = np.stack([p[:, end] - p[:, start] for start, end in _LIMBS] + _trunk(p), axis=1)
    lengths = np.linalg.norm(limbs, axis=-1, keepdims=True)
    cosines = np.stack([_cosine(p[:, a] - p[:, b], p[:, c] - p[:, b]) for a, b, c in _ANGLES], axis=1)
    distances = np.linalg.norm(p[:, _ENDS][:, :, None] - p[:, _TO][:, None], axis=-1)
    parts = [
        p[:, _PLACED],
        limbs / (lengths + 1e-6),
        lengths,
        cosines,
        np.arccos(cosines),
        distances,
        np.nan_to_num(seen[:, KEPT]),
    ]
    flat = [part.reshape(len(p), int(np.prod(part.shape[1:]))) for part in parts]  # also of nobody
    return np.concatenate(flat, axis=1).astype(np.float32)


def _trunk(p: np.ndarray) -> list[np.ndarray]:
    left, right = ({name: p[:, NUMBER[f"{side}_{name}"]] for name in ("shoulder", "hip")} for side in ("left", "right"))
    shoulders, hips = (left["shoulder"] + right["shoulder"]) / 2, (left["hip"] + right["hip"]) / 2
    across = [right[name] - left[name] for name in ("shoulder", "hip")]
    return [shoulders - hips, p[:, NUMBER["nose"]] - shoulders, *across]


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray(np.clip((one * other).sum(-1) / (lengths + 1e-6), -1, 1))


WIDTH = features(np.zeros((0, len(JOINTS), 2)), np.zeros((0, len(JOINTS)))).shape[1]  # of `features`: numbers of one

_MOST_DIFFERENT = 3  # joints


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much pairs of postures differ, (n,): the mean of the three joints that differ most, in units of `normalised`,
    in the best of the four `views`. one, other: points, (n, 33, 2).
    """
    a = normalised(one)[:, KEPT]
    return np.asarray(np.min([_apart(a, b) for b in _seen_as(other)], axis=0))


def distances(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The `distance` of each posture from each of the others, (n, m). ones, others: points, (n, 33, 2), (m, 33, 2)."""
    a, seen = normalised(ones)[:, KEPT], _seen_as(others)
    rows = [np.min([_apart(each, b) for b in seen], axis=0) for each in a]
    return np.array(rows, np.float32).reshape(len(ones), len(others))


def _seen_as(points: np.ndarray) -> list[np.ndarray]:
    """The joints that postures consist of, in the four views."""
    none = np.zeros(points.shape[:2], np.float32)
    return [normalised(view)[:, KEPT] for view, _ in views(points, none)]


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    each = np.linalg.norm(a - b, axis=-1)
    return np.asarray(np.partition(each, -_MOST_DIFFERENT, axis=1)[:, -_MOST_DIFFERENT:].mean(1))
