"""The poses that can be drawn: reads and checks pose files. `data/poses.yaml` explains them at its top."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from curate.foundation import resources
from curate.foundation.errors import UsageError
from synth.body.capsules import CONTACTS
from synth.body.contact_solver import Goals
from synth.body.skeleton import DOFS, INDEX, JOINTS, PAIRED, SIDES, Array

_KEYS = {"yoga82", "joints", "floor", "touch", "balance", "azimuth", "elevation"}
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_"
ALL, EVERYDAY = "all", "everyday"  # each stands for a whole file


@dataclass(frozen=True)
class Pose:
    """One pose: angles (dofs,) in degrees, its contacts, and from where it can be told.

    `azimuth` holds ranges of degrees around the person (0 sees the face, 90 the left side), `elevation` one range.
    `yoga82` is its folder there, "" for what is no pose of yoga.
    """

    name: str
    yoga82: str
    angles: Array
    goals: Goals
    azimuth: tuple[tuple[float, float], ...]
    elevation: tuple[float, float]

    @property
    def digest(self) -> str:
        """16 hex digits over all that a picture of it depends on."""
        told = [self.name, self.angles.tolist(), asdict(self.goals), self.azimuth, self.elevation]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


class PoseFileError(UsageError):
    """A pose file that cannot be used: says which pose, which joint, and what is wrong."""


@cache
def shipped() -> dict[str, Pose]:
    """Name -> pose of yoga, in the order of the file that fewpose ships."""
    return load(resources.path("poses.yaml"))


@cache
def everyday() -> dict[str, Pose]:
    """Name -> posture of work, rest and rehabilitation, in the order of the file that fewpose ships."""
    return load(resources.path("everyday.yaml"))


def named(pose: str | Pose) -> Pose:
    """The shipped pose of that name, of either file; UsageError lists the known ones. A pose is its own answer."""
    if isinstance(pose, Pose):
        return pose
    poses = shipped() | everyday()
    if pose not in poses:
        raise UsageError(f"there is no pose {pose!r}; the poses are {', '.join(poses)}")
    return poses[pose]


def chosen(names: str, file: Path | None = None) -> list[Pose]:
    """The poses that a person asked for, each once: names with commas between, of shipped poses or of those of a file.

    "all" are those of yoga, or of the file; "everyday" those of data/everyday.yaml. UsageError if one is unknown.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise UsageError("no pose was named; say --poses all or, for example, --poses tree,plank")
    poses = load(file) if file else shipped() | everyday()
    whole = {ALL: poses} if file else {ALL: shipped(), EVERYDAY: everyday()}
    found: dict[str, Pose] = {}
    for name in wanted:
        if name not in whole and name not in poses:
            where = f" in {file}; it has" if file else "; the poses are"
            raise UsageError(f"there is no pose {name!r}{where} {', '.join(poses)}")
        found |= whole[name] if name in whole else {name: poses[name]}
    return list(found.values())


def load(path: Path) -> dict[str, Pose]:
    """Read a pose file; PoseFileError names the pose and the joint of the first mistake."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PoseFileError(f"{path} cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PoseFileError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not content:
        raise PoseFileError(f"{path} holds no poses: it must map each pose's name to its angles")
    return {str(name): _pose(f"{path.name}: pose {name}", str(name), value) for name, value in content.items()}


def _pose(where: str, name: str, value: Any) -> Pose:
    if set(name) - set(_NAME):
        raise PoseFileError(f"{where}: a name is made of a-z, 0-9 and _ only, because it becomes a folder")
    if name == ALL:
        raise PoseFileError(f"{where}: the name is taken: --poses {ALL} stands for every pose")
    if not isinstance(value, dict):
        raise PoseFileError(f"{where}: expected joints, floor, ... but found {value!r}")
    if unknown := sorted(str(key) for key in value.keys() - _KEYS):
        raise PoseFileError(f"{where}: unknown entry {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    folder = value.get("yoga82", "")
    if not isinstance(folder, str) or ("yoga82" in value and not folder):
        raise PoseFileError(f"{where}: yoga82 must name the pose's folder in Yoga-82, or be left out")
    goals = Goals(
        floor=tuple(_contacts(where, value.get("floor", []))),
        touch=tuple(_touches(where, value.get("touch", []))),
        balance=bool(value.get("balance", False)),
    )
    azimuth = value.get("azimuth", [-180, 180])
    ranges = azimuth if azimuth and isinstance(azimuth, list) and isinstance(azimuth[0], list) else [azimuth]
    return Pose(
        name=name,
        yoga82=folder,
        angles=_angles(where, value.get("joints")),
        goals=goals,
        azimuth=tuple(_range(f"{where}: azimuth", pair, 360) for pair in ranges),
        elevation=_range(f"{where}: elevation", value.get("elevation", [2, 20]), 85),
    )


def _angles(where: str, joints: Any) -> Array:
    if not isinstance(joints, dict):
        raise PoseFileError(f"{where}: joints must map each joint to its angles")
    angles = np.zeros(len(DOFS))
    # A joint without a side means both; one with a side comes after it and wins.
    for joint, given in sorted(joints.items(), key=lambda item: str(item[0]).partition("_")[0] in SIDES):
        names = [f"{side}_{joint}" for side in SIDES] if joint in PAIRED else [joint]
        if names[0] not in JOINTS:
            raise PoseFileError(f"{where}: unknown joint {joint!r}; known are {', '.join(_known_joints())}")
        if not isinstance(given, dict):
            raise PoseFileError(f"{where}: {joint} must map angles to degrees but is {given!r}")
        for angle, degrees in given.items():
            for name in names:
                place = INDEX.get((name, str(angle)))
                if place is None:
                    known = ", ".join(dof.angle for dof in DOFS if dof.joint == name)
                    raise PoseFileError(f"{where}: {joint} has no angle {angle!r}; it has {known}")
                angles[place] = _degrees(f"{where}: {joint} {angle}", degrees, DOFS[place].low, DOFS[place].high)
    return angles


def _known_joints() -> list[str]:
    return [joint for joint in JOINTS if joint.partition("_")[0] not in SIDES] + list(PAIRED)


def _degrees(where: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PoseFileError(f"{where}: expected degrees but found {value!r}")
    if not low <= value <= high:
        raise PoseFileError(f"{where}: {value:g} degrees is beyond what the joint can do ({low:g} to {high:g})")
    return float(value)


def _range(where: str, pair: Any, limit: float) -> tuple[float, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise PoseFileError(f"{where}: expected [lowest, highest] but found {pair!r}")
    low, high = (_degrees(where, value, -limit, limit) for value in pair)
    if low > high:
        raise PoseFileError(f"{where}: {low:g} is above {high:g}")
    return low, high


def _contacts(where: str, names: Any) -> list[str]:
    """Contact names with the side of each; a name without a side means both sides."""
    if not isinstance(names, list):
        raise PoseFileError(f"{where}: floor must be a list of parts of the body but is {names!r}")
    found = []
    for name in names:
        both = [f"{side}_{name}" for side in SIDES]
        if name in CONTACTS:
            found.append(str(name))
        elif both[0] in CONTACTS:
            found += both
        else:
            known = sorted({contact.removeprefix("left_").removeprefix("right_") for contact in CONTACTS})
            raise PoseFileError(f"{where}: unknown part {name!r}; known are {', '.join(known)}")
    return found


def _touches(where: str, pairs: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise PoseFileError(f"{where}: touch must be a list of pairs of parts but holds {pair!r}")
        one, other = _contacts(where, pair[:1]), _contacts(where, pair[1:])
        found += zip(one, other if len(other) == len(one) else other * len(one), strict=True)
    return found
