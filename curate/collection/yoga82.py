"""The 82 poses of Yoga-82 (Verma et al., CVPRW 2020): their ids, names and places in the hierarchy of 6 and 20."""

import csv
import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from curate.foundation import resources


@dataclass(frozen=True)
class Pose:
    id: int  # 0..81, as in the official split files
    folder: str  # the official class name, letter for letter
    english: str  # in words for a prompt, without the word "pose"
    sanskrit: str
    label6: int
    name6: str
    label20: int
    name20: str
    aliases: tuple[str, ...] = ()  # what else the pose is called


@cache
def poses() -> tuple[Pose, ...]:
    """All 82, in the order of their ids."""
    with resources.path("yoga82.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_pose(row) for row in csv.DictReader(file))


def find(name: str) -> Pose | None:
    """The pose of this folder, English or Sanskrit name, alias or id; None where there is none, or more than one.

    Case, spaces, hyphens, underscores, diacritics and a final "pose" make no difference: "downward_dog", "Tree pose".
    """
    return _by_id().get(name.strip()) or _by_name().get(plain(name))


def _pose(row: dict[str, str]) -> Pose:
    return Pose(
        id=int(row["id"]),
        folder=row["folder"],
        english=row["english"],
        sanskrit=row["sanskrit"],
        label6=int(row["label6"]),
        name6=row["name6"],
        label20=int(row["label20"]),
        name20=row["name20"],
        aliases=tuple(filter(None, row["aliases"].split(";"))),
    )


@cache
def _by_id() -> dict[str, Pose]:
    return {str(pose.id): pose for pose in poses()}


@cache
def _by_name() -> dict[str, Pose]:
    named: dict[str, set[Pose]] = {}
    for pose in poses():
        for name in (pose.folder, pose.english, pose.sanskrit, *pose.aliases):
            named.setdefault(plain(name), set()).add(pose)
    # A name that two poses share says nothing.
    return {name: pose for name, (pose, *others) in named.items() if not others}


def plain(name: str) -> str:
    """Letters and digits alone: what is left of a name when the ways of writing it are taken away."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\W_]+", "", decomposed).removesuffix("pose")
