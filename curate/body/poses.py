"""The poses that can be drawn: reads and checks pose files. `data/poses.yaml` explains them at its top."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from curate.body.capsules import CONTACTS
from curate.body.contact_solver import Goals
from curate.body.skeleton import DOFS, INDEX, JOINTS, PAIRED, SIDES, Array
from curate.foundation import resources, yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.sentences import unknown
from curate.foundation.yaml_files import Entry

_WAY = ("joints", "floor", "touch", "balance", "azimuth", "elevation", "share")
_KEYS = ("yoga82", *_WAY, "variants")
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_"
ALL, EVERYDAY = "all", "everyday"  # each stands for a whole file


@dataclass(frozen=True)
class Pose:
    """One pose: angles (dofs,) in degrees, its contacts, and from where it can be told.

    `azimuth` holds ranges of degrees around the person (0 sees the face, 90 the left side), `elevation` one range.
    `yoga82` is its folder there, "" for what is no pose of yoga. `variants` are other ways of doing it, themselves
    without variants; `share` says how often one of the ways is seen beside the others.
    """

    name: str
    yoga82: str
    angles: Array
    goals: Goals
    azimuth: tuple[tuple[float, float], ...]
    elevation: tuple[float, float]
    share: float = 1.0
    variants: tuple["Pose", ...] = ()

    @property
    def ways(self) -> tuple["Pose", ...]:
        """All ways of doing it, each a pose without variants; itself first."""
        return (replace(self, variants=()), *self.variants) if self.variants else (self,)

    @property
    def digest(self) -> str:
        """16 hex digits over all that a picture of it depends on."""
        told = [self.name, self.angles.tolist(), asdict(self.goals), self.azimuth, self.elevation]
        if self.variants:
            told += [[way.share, way.digest] for way in self.variants] + [self.share]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


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
    """Read a pose file. Raises UsageError, with file and line, for the first mistake."""
    found = yaml_files.read(path)
    if found is None or not found.is_mapping or not found.pairs():
        raise UsageError(f"{path} holds no poses: it must map each pose's name to its angles")
    return {name.written: _pose(name, value) for name, value in found.pairs()}


def _pose(place: Entry, value: Entry) -> Pose:
    name = place.written
    where = f"pose {name}"
    if set(name) - set(_NAME):
        raise place.wrong(f"{where}: a name is made of a-z, 0-9 and _ only, because it becomes a folder")
    if name == ALL:
        raise place.wrong(f"{where}: the name is taken: --poses {ALL} stands for every pose")
    if not value.is_mapping:
        raise value.wrong(f"{where}: expected joints, floor, ... but found {value.shown()}")
    told = value.mapping(known=_KEYS, each=f"entry of {where} named")
    if "joints" not in told:
        raise place.wrong(f"{where}: joints must map each joint to its angles")
    plain = Pose(
        name=name,
        yoga82=_folder(where, told["yoga82"]) if "yoga82" in told else "",
        angles=np.zeros(len(DOFS)),
        goals=Goals(),
        azimuth=((-180.0, 180.0),),
        elevation=(2.0, 20.0),
    )
    first = _way(where, told, plain)
    variants = told.get("variants")
    return replace(first, variants=_variants(where, variants, first)) if variants else first


def _way(where: str, told: Mapping[str, Entry], base: Pose) -> Pose:
    """`base` with what is told of it."""
    share = told["share"].plain() if "share" in told else 1.0
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 100:
        raise told["share"].wrong(f"{where}: share must be a number above 0, at most 100, not {share!r}")
    return replace(
        base,
        angles=_angles(where, told["joints"], base.angles) if "joints" in told else base.angles,
        goals=_goals(where, told, base.goals),
        azimuth=_ranges(f"{where}: azimuth", told["azimuth"]) if "azimuth" in told else base.azimuth,
        elevation=_range(f"{where}: elevation", told["elevation"], 85) if "elevation" in told else base.elevation,
        share=float(share),
    )


def _variants(where: str, value: Entry, first: Pose) -> tuple[Pose, ...]:
    if not value.is_list or not value.items():
        raise value.wrong(f"{where}: variants must be a list of joints, floor, ... but is {value.shown()}")
    found = []
    for number, each in enumerate(value.items(), 2):
        way = f"{where}, way {number}"
        if not each.is_mapping:
            raise each.wrong(f"{way}: expected joints, floor, ... but found {each.shown()}")
        found.append(_way(way, each.mapping(known=_WAY, each=f"entry of {way} named"), first))
    return tuple(found)


def _folder(where: str, value: Entry) -> str:
    folder = value.plain()
    if not isinstance(folder, str) or not folder:
        raise value.wrong(f"{where}: yoga82 must name the pose's folder in Yoga-82, or be left out")
    return folder


def _goals(where: str, told: Mapping[str, Entry], base: Goals) -> Goals:
    balance = told["balance"].plain() if "balance" in told else base.balance
    if not isinstance(balance, bool):
        raise told["balance"].wrong(f"{where}: balance must be true or false, not {balance!r}")
    return Goals(
        floor=tuple(_contacts(where, _listed(where, "floor", told["floor"]))) if "floor" in told else base.floor,
        touch=tuple(_touches(where, told["touch"])) if "touch" in told else base.touch,
        balance=balance,
    )


def _angles(where: str, joints: Entry, base: Array) -> Array:
    """Those of `base`, except of the joints that are named here: an angle of these that is not told is 0."""
    if not joints.is_mapping:
        raise joints.wrong(f"{where}: joints must map each joint to its angles")
    told = {name for place, _ in joints.pairs() for name in _sides(place.written)}
    angles = np.where([dof.joint in told for dof in DOFS], 0.0, base)
    # A joint without a side means both; one with a side comes after it and wins.
    for place, given in sorted(joints.pairs(), key=lambda pair: pair[0].written.partition("_")[0] in SIDES):
        joint = place.written
        names = _sides(joint)
        if names[0] not in JOINTS:
            raise place.wrong(f"{where}: {unknown('joint', joint, _known_joints())}")
        if not given.is_mapping:
            raise given.wrong(f"{where}: {joint} must map angles to degrees but is {given.shown()}")
        for angle, degrees in given.pairs():
            for name in names:
                dof = INDEX.get((name, angle.written))
                if dof is None:
                    known = ", ".join(dof.angle for dof in DOFS if dof.joint == name)
                    raise angle.wrong(f"{where}: {joint} has no angle {angle.written!r}; it has {known}")
                angles[dof] = _degrees(f"{where}: {joint} {angle.written}", degrees, DOFS[dof].low, DOFS[dof].high)
    return angles


def _sides(joint: str) -> list[str]:
    """A joint that both sides have, of both; any other as it is."""
    return [f"{side}_{joint}" for side in SIDES] if joint in PAIRED else [joint]


def _known_joints() -> list[str]:
    return [joint for joint in JOINTS if joint.partition("_")[0] not in SIDES] + list(PAIRED)


def _degrees(where: str, given: Entry, low: float, high: float) -> float:
    value = given.plain()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise given.wrong(f"{where}: expected degrees but found {value!r}")
    if not low <= value <= high:
        raise given.wrong(f"{where}: {value:g} degrees is beyond what the joint can do ({low:g} to {high:g})")
    return float(value)


def _ranges(where: str, value: Entry) -> tuple[tuple[float, float], ...]:
    """One range, or a list of them."""
    several = value.is_list and value.items() and value.items()[0].is_list
    return tuple(_range(where, pair, 360) for pair in (value.items() if several else [value]))


def _range(where: str, pair: Entry, limit: float) -> tuple[float, float]:
    if not pair.is_list or len(pair.items()) != 2:
        raise pair.wrong(f"{where}: expected [lowest, highest] but found {pair.shown()}")
    low, high = (_degrees(where, value, -limit, limit) for value in pair.items())
    if low > high:
        raise pair.wrong(f"{where}: {low:g} is above {high:g}")
    return low, high


def _listed(where: str, key: str, names: Entry) -> list[Entry]:
    if not names.is_list:
        raise names.wrong(f"{where}: {key} must be a list of parts of the body but is {names.shown()}")
    return names.items()


def _contacts(where: str, names: Sequence[Entry]) -> list[str]:
    """Contact names with the side of each; a name without a side means both sides."""
    found = []
    for place in names:
        name = place.written
        both = [f"{side}_{name}" for side in SIDES]
        if name in CONTACTS:
            found.append(name)
        elif both[0] in CONTACTS:
            found += both
        else:
            known = sorted({contact.removeprefix("left_").removeprefix("right_") for contact in CONTACTS})
            raise place.wrong(f"{where}: {unknown('part', name, known)}")
    return found


def _touches(where: str, pairs: Entry) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for pair in pairs.items() if pairs.is_list else [pairs]:
        if not pair.is_list or len(pair.items()) != 2:
            raise pair.wrong(f"{where}: touch must be a list of pairs of parts but holds {pair.shown()}")
        one, other = (_contacts(where, [part]) for part in pair.items())
        found += zip(one, other if len(other) == len(one) else other * len(one), strict=True)
    return found
