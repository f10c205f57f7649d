"""Claim: nine of ten pictures of two people and of nobody are found by the rule that is meant for each, and eight of
ten of half a body by one of the rules; at most 2 % of photos18 are said to show nobody. Of 60 pairs of people who take
another posture before a camera that stands still, none is called copies, and no true copy is missed for their sake. Of
mannequins in the pose of their class, `synth accept` accepts 74 %.

Planted are 100 pictures of each kind, made of rendered people (synth/rendering, several poses of data/poses.yaml):
pairs (one picture beside another, or above it), bodies cut at the hips as their known keypoints say (the half with the
shoulders), and noise, blurred noise and gradients, where nobody is. The rules are those of `curate check`. Beside it,
without a claim: the share of rendered people that nothing was done to, and of photos18, that each rule flags.

Half a body is no claim for `cropped_body` alone, and nine of ten were asked for: of who is cut at the hips, the models
see nobody, or fold legs that are not there into the picture, for arms that are (wheel, shoulderstand, raised arms).

Copies: 60 pairs of one person before one backdrop and one camera in two postures, and 60 true copies (recompressed,
shrunk, slightly cropped, mirrored). How many of each are called copies is counted with keypoints and without.

Mannequins: of 12 of each class of photos18 that our renderer has a pose for, by `synth generate
--model mannequin`, how many `synth accept` accepts, and which rules reject the others.

    python -m benchmarks.people                     six minutes on 2 cores
    python -m benchmarks.people --quick             a few of each and 200 photographs, less than a minute
    python -m benchmarks.people --keep FOLDER       leaves the pictures there
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageOps

from benchmarks import common
from benchmarks.groups import Picture, cropped, jpeg, resized
from curate.body.poses import Pose, named
from curate.checks.check import check
from curate.collection import sets
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from synth.accept.accept import accept
from synth.generate.control import poses_of
from synth.generate.run import generate
from synth.generate.settings import Resources, Settings, Wanted
from synth.rendering.folder import render_folder, sidecar
from synth.rendering.keypoints import NAMES
from synth.rendering.render import render_scene
from synth.rendering.scene import draw, generator

SIZE, SEED = 256, 11  # other pictures (seed 3) were looked at when thresholds were set
PEOPLE = ("no_person", "several_people", "cropped_body", "small_person")  # the rules
POSES = (
    "tree", "warrior_i", "warrior_ii", "warrior_iii", "triangle", "half_moon", "chair", "plank", "side_plank",
    "downward_dog", "cobra", "bow", "camel", "boat", "staff", "bridge", "garland", "wheel", "shoulderstand", "plow",
)  # fmt: skip
ANY = "any of them"
CLAIMED = (("pairs", "several_people", 0.9), ("nobody", "no_person", 0.9), ("halves", ANY, 0.8))  # at least
MOST_MISSED = 0.02  # of photos18
LEAST_ACCEPTED = 0.74  # of the mannequins

STANDING = ("tree", "warrior_i", "warrior_ii", "warrior_iii", "triangle", "half_moon", "chair")
FAR = 0.3  # of the picture, that the first person of a scene takes: there is room for another posture
COPY_RULES = ("near_duplicate", "mirrored_duplicate")
NO_VETO = 9.0  # no two postures are so far apart


@dataclass(frozen=True)
class Count:
    """How much is measured."""

    rendered: int  # people, of whom all pictures are made
    each: int  # of each kind of pictures
    copies: int
    photos: int | None  # of photos18; None: all
    mannequins: int  # a class


FULL, QUICK = Count(240, 100, 60, None, 12), Count(40, 12, 12, 200, 1)

PARTS = ("planted", "copies", "photos18", "mannequins")

# Rendered people


@dataclass(frozen=True)
class Rendered:
    image: Picture
    keypoints: np.ndarray  # (17, 3): pixels, and visibility


def rendered(folder: Path, count: int) -> list[Rendered]:
    """So many people, pose after pose in turn, each in a scene of its own."""
    render_folder(folder, POSES, -(-count // len(POSES)), size=SIZE, seed=SEED)
    lines = [json.loads(line) for line in sidecar(folder).read_text().splitlines()]
    lines.sort(key=lambda line: (line["file"].rpartition("_")[2], POSES.index(line["pose"])))
    return [
        Rendered(Image.open(folder / line["file"]).convert("RGB"), np.array(line["keypoints"]))
        for line in lines[:count]
    ]


def pairs(people: Sequence[Rendered]) -> Iterator[Picture]:
    """Each of them with another one in one picture: beside each other, or one above the other, in turn."""
    others = [*people[len(POSES) + 3 :], *people]
    for number, (one, other) in enumerate(zip(people, others, strict=False)):
        across, down = (SIZE, 0) if number % 2 else (0, SIZE)
        both = Image.new("RGB", (SIZE + across, SIZE + down))
        both.paste(one.image, (0, 0))
        both.paste(other.image, (across, down))
        yield both


def halves(people: Sequence[Rendered]) -> Iterator[Picture]:
    """Cut at the hips, the half with the shoulders; of those whose knees and ankles are all in the other one."""
    for person in people:
        shoulders, hips, legs = (
            np.concatenate([person.keypoints[[NAMES.index(f"{side}_{name}") for side in ("left", "right")], :2]
                            for name in names])
            for names in (("shoulder",), ("hip",), ("knee", "ankle"))
        )  # fmt: skip
        towards = shoulders.mean(axis=0) - hips.mean(axis=0)
        axis = int(np.argmax(np.abs(towards)))
        at, sign = hips[:, axis].mean(), np.sign(towards[axis])
        if (sign * (legs[:, axis] - at) < 0).all():
            box = [0, 0, SIZE, SIZE]
            box[axis + (0 if sign > 0 else 2)] = round(at)
            if min(box[2] - box[0], box[3] - box[1]) >= SIZE // 5:
                yield person.image.crop((box[0], box[1], box[2], box[3]))


def nobody(count: int) -> Iterator[Picture]:
    """Random pixels, blurred ones and gradients, in turn."""
    random = np.random.default_rng(SEED)
    for number in range(count):
        pixels = Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
        if number % 3 == 1:
            pixels = ImageOps.autocontrast(pixels.filter(ImageFilter.GaussianBlur(float(random.uniform(2, 24)))))
        elif number % 3 == 2:
            pixels = gradient(random.uniform(0, 255, (2, 3)), float(random.uniform(0, 2 * np.pi)))
        yield pixels


def gradient(colours: np.ndarray, turn: float) -> Picture:
    """From one colour to another (2, 3) across a picture, in any direction (radians)."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2)
    part = (x * np.cos(turn) + y * np.sin(turn)) / 2.83 + 0.5
    return Image.fromarray((colours[0] + part[..., None] * (colours[1] - colours[0])).astype(np.uint8))


def save(pictures: Iterator[Picture] | Sequence[Picture], folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    saved = 0
    for saved, picture in enumerate(islice(pictures, count), 1):
        picture.save(folder / f"{saved - 1:03d}.jpg", quality=90)
    if saved < count:
        raise SystemExit(f"{folder.name}: {saved} pictures instead of {count}")


# Rules on people


def flagged(collection: Collection, rules: Sequence[str]) -> pd.DataFrame:
    """Key and rule of what these rules flag. Stops where one did not run."""
    found = check(collection, model=None, rules=rules)
    for name in rules:
        if lacking := found.rules[name].not_run:
            raise SystemExit(f"{name} did not run: {lacking}")
    return found.flagged()[["key", "rule"]]


def on_people(work: Path, count: Count) -> dict[str, dict[str, float]]:
    """The share that each rule flags, by kind of pictures."""
    people = rendered(work / "rendered", count.rendered)
    made: dict[str, Iterator[Picture]] = {
        "untouched": (person.image for person in people),
        "pairs": pairs(people),
        "halves": halves(people),
        "nobody": nobody(count.each),
    }
    for kind, pictures in made.items():
        save(pictures, work / "planted" / kind, count.each)
    collection = imported(work / "planted", work / "people")
    return shares(collection, flagged(collection, PEOPLE))


def imported(folder: Path, root: Path) -> Collection:
    import_folder(folder, root, link=True)
    return Collection.open(root)


def shares(collection: Collection, found: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The share that each rule flags, by label."""
    return {str(label): flags(rows, found) for label, rows in collection.images().groupby("label")}


def flags(images: pd.DataFrame, found: pd.DataFrame) -> dict[str, float]:
    by_rule = {rule: set(found.loc[found["rule"] == rule, "key"]) for rule in PEOPLE}
    by_rule[ANY] = set(found["key"])
    return {rule: float(images["key"].isin(keys).mean()) for rule, keys in by_rule.items()}


def on_photographs(collection: Collection) -> dict[str, float]:
    return flags(collection.images(), flagged(collection, PEOPLE))


# Copies

COPIES: dict[str, Callable[[Picture], Picture]] = {
    "recompressed": lambda image: jpeg(image, 40),
    "shrunk": lambda image: resized(image, 0.6),
    "cropped": lambda image: cropped(image, 0.03, 0.02, 0.02, 0.03),
    "mirrored": ImageOps.mirror,
}


def scene_pair(number: int, standing: Sequence[Pose] = ()) -> tuple[Picture, Picture]:
    """One person, backdrop, light and camera; two postures, of those that are given or of STANDING."""
    poses = [*standing] or [named(name) for name in STANDING]
    pose, second = (poses[(number + step) % len(poses)] for step in (0, 1 + number % (len(poses) - 1)))
    scene = draw(pose, generator(pose.name, SEED, number))
    scene = replace(scene, view=replace(scene.view, fill=FAR, shift=(0.0, 0.0)))
    first = render_scene(scene, SIZE)
    angles = draw(second, generator(second.name, SEED, number))
    changed = replace(scene, angles=angles.angles, goals=angles.goals, mirror=angles.mirror)
    return first.image, render_scene(changed, SIZE, first.camera).image


def on_copies(work: Path, count: Count) -> dict[str, Any]:
    """How many of each kind are flagged as copies, with keypoints and without."""
    for number in range(count.copies):
        save(scene_pair(number), work / "scenes" / f"{number:03d}", 2)
    people = rendered(work / "rendered", count.rendered)[: count.copies]
    for number, person in enumerate(people):
        kind = list(COPIES)[number % len(COPIES)]
        save([person.image, COPIES[kind](person.image)], work / "copies" / f"{number:03d} {kind}", 2)
    return {
        what: {
            way: copies_found(work / what, work / f"{what}, {way}", postures)
            for way, postures in (("with keypoints", None), ("without", NO_VETO))
        }
        for what in ("scenes", "copies")
    }


def copies_found(folder: Path, root: Path, postures: float | None) -> dict[str, Any]:
    """The pairs of a folder of pairs that are flagged as copies. postures: the rules' parameter, if not their own."""
    collection = imported(folder, root)
    if postures is not None:
        (root / "curation.yaml").write_text("".join(f"{rule}:\n  postures: {postures}\n" for rule in COPY_RULES))
    found = flagged(collection, COPY_RULES)
    names = sorted({key.split("/")[0] for key in found["key"]})
    return {"pairs": len(list(folder.iterdir())), "found": len(names), "which": names}


# Mannequins


def on_mannequins(collection: Collection, each: int) -> dict[str, Any]:
    """What `synth accept` says of so many of each class that our renderer has a pose for."""
    labels = tuple(label for label in sorted(set(collection.images()["label"])) if poses_of(label))
    generate(collection.root, Settings("mannequin"), Wanted(labels, each), Resources())
    accept(collection)
    verdicts = sets.explain_synthetic(collection)
    rejected = verdicts[~verdicts["filtered"]]
    return {
        "images": len(verdicts),
        "accepted": float(verdicts["filtered"].mean()),
        "by class": verdicts.groupby("label")["filtered"].mean().round(3).to_dict(),
        "rejected by": dict(Counter(rule for rules in rejected["rules"] for rule in rules.split()).most_common()),
    }


def photographs(data: Path, work: Path, most: int | None) -> Collection:
    """photos18, or some of it, of every class."""
    files = sorted((data / "photos18").glob("*/*"))
    if most is None:
        return imported(data / "photos18", work / "photos18")
    for file in files[:: -(-len(files) // most)]:
        target = work / "some photos" / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return imported(work / "some photos", work / "photos18")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=common.PHOTOS, help="may have photos18")
    parser.add_argument("--keep", type=Path, help="a new folder for the pictures")
    parser.add_argument("--only", default="", help=f"a part, of {', '.join(PARTS)}; the others stay as they are")
    parser.add_argument("--quick", action="store_true", help="a few pictures of each kind, 200 photographs")
    options = parser.parse_args()
    count = QUICK if options.quick else FULL
    parts = common.chosen(parser, options.only, PARTS)
    measured = common.earlier("people", "measured", quick=options.quick) if options.only else {}
    with tempfile.TemporaryDirectory() as temporary:
        work = options.keep or Path(temporary)
        if "planted" in parts:
            measured["planted"] = on_people(work, count)
        if "copies" in parts:
            measured["copies"] = on_copies(work, count)
        if {"photos18", "mannequins"} & {*parts} and (options.data / "photos18").is_dir():
            collection = photographs(options.data, work, count.photos)
            if "photos18" in parts:
                measured["photos18"] = {"images": len(collection.images()), "flagged": on_photographs(collection)}
            if "mannequins" in parts:
                measured["mannequins"] = on_mannequins(collection, count.mannequins)
    return report(measured, quick=options.quick)


def report(result: dict[str, Any], *, quick: bool) -> int:
    print(pd.DataFrame(result["planted"]).T.round(3).to_string())
    for what, ways in result["copies"].items():
        said = ", ".join(f"{found['found']} of {found['pairs']} {way}" for way, found in ways.items())
        print(f"{what} that are called copies: {said}")
    found = {kind: result["planted"][kind][rule] for kind, rule, _ in CLAIMED}
    failures = [f"{rule} finds {found[kind]:.0%} of {kind}" for kind, rule, least in CLAIMED if found[kind] < least]
    failures += list(_wrong_copies(result["copies"]))
    figure = "found: " + ", ".join(f"{part:.0%} of {kind}" for kind, part in found.items())
    if {"photos18", "mannequins"} <= result.keys():
        rates, made = result["photos18"]["flagged"], result["mannequins"]
        print("photos18: " + ", ".join(f"{rule} {rate:.1%}" for rule, rate in rates.items()))
        print(f"mannequins: {made['accepted']:.0%} of {made['images']} accepted; rejected by {made['rejected by']}")
        if rates["no_person"] > MOST_MISSED:
            failures.append(f"no_person flags {rates['no_person']:.1%} of photos18")
        if made["accepted"] < LEAST_ACCEPTED:
            failures.append(f"{made['accepted']:.0%} of mannequins are accepted")
        figure += f"; {made['accepted']:.0%} of mannequins accepted"
    return common.conclude("people", __doc__, {"measured": result}, failures=failures, figure=figure, quick=quick)


def _wrong_copies(copies: dict[str, Any]) -> Iterator[str]:
    wrong = copies["scenes"]["with keypoints"]
    if wrong["found"]:
        yield f"{wrong['found']} pairs in two postures are called copies"
    ours, theirs = (copies["copies"][way]["found"] for way in ("with keypoints", "without"))
    if ours < theirs:
        yield f"{ours} copies are found with keypoints, {theirs} without"


if __name__ == "__main__":
    sys.exit(main())
