"""Claim: one person and the joints are found in image files at the rate of MediaPipe's own loop, which looks for one,
on one CPU at least, and at 1.8 times that rate on two. With the search for other people, which is the default, at least
45 images/s are looked at on 2 CPUs from files of up to 640 pixels, and at least 40/s from photographs of 4,000 pixels.
A person is found, with a score of at least .5, in 99 % of photos18. While 16,000 images are looked at, the memory grows
by at most 32 MB; writing their table takes 150 MB more at most.

Beside it, without a claim: how many joints of rendered mannequins are found within a fifth of the torso (PCK@0.2), by
pose, by us and by MediaPipe, with one look at a person and with two; and how far our answers are from MediaPipe's.

Both sides look at the same files in turn, half of photos18, each in a process of its own that is pinned to as many
CPUs as are said; ours is `curate pose` (`--people 1`, or not) without its start, as theirs is the loop without
loading. On one CPU the seconds of that CPU are compared, of which what else runs on the machine takes few. MediaPipe
0.10.21 runs in a venv of its own (benchmarks/mediapipe.txt), with the same weights. The photographs of 4,000 pixels
are some of photos18, enlarged; the 16,000 images are parts of photos18, at 256 pixels. Memory is what the processes
of `curate pose` have of their own.

    python -m benchmarks.pose                twenty minutes on 2 cores
    python -m benchmarks.pose --only photos,large   two of its four parts; the others stay as they were
    python -m benchmarks.pose --quick        fewer files, less than a minute; says little, and asks for 0.7 of each rate
    python -m benchmarks.pose --reference    writes MediaPipe's answers for tests/curate/pose
    python -m benchmarks.pose --sheet        draws the picture of docs/pose.md
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import common
from benchmarks.common import PHOTOS, spread
from benchmarks.sweep_scale import Sample, watched
from curate.body import poses
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.pose import keypoints
from curate.pose.drawing import drawn
from curate.pose.estimating import estimate
from curate.pose.people import COCO, Person
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings
from synth.rendering.folder import render_folder, sidecar

HERE = Path(__file__).parent
REFERENCE = HERE.parent / "tests" / "curate" / "pose" / "mediapipe.json"
LEAST_RATIO = {1: 1.0, 2: 1.8}  # theirs over ours, by CPUs
LEAST_RATE, LEAST_RATE_LARGE, LEAST_FOUND = 45.0, 40.0, 0.99
ASKED_IN_HASTE = 0.7
SHEET, SHOWN = HERE.parent / "docs" / "images" / "keypoints.png", 30
LARGE = 4_000  # pixels of the longer side
PART = 256  # pixels of both sides of a part of a photograph
MOST_GROWTH, MOST_TO_WRITE = 32, 150  # megabytes


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    photos: int  # of photos18
    large: int
    parts: int  # of photographs, to watch the memory
    rounds: int
    poses: str
    per_pose: int


WHOLE = Size(871, 120, 16_000, 3, "all", 20)
QUICK = Size(60, 10, 200, 1, "warrior_ii,tree", 3)


PARTS = ("photos", "large", "memory", "mannequins")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--sheet", action="store_true")
    parser.add_argument("--only", default="", help=f"parts, with commas: {', '.join(PARTS)}; the others as they were")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)  # a process that is measured
    parser.add_argument("--people", type=int, default=PoseSettings().people, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return look(options.one[0], options.one[1], options.people)
    if options.reference:
        return write_reference()
    if options.sheet:
        return write_sheet()
    size = QUICK if options.quick else WHOLE
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(options.photos.glob("*/*"))
        chosen = files[:: max(1, len(files) // size.photos)][: size.photos]
        work = Path(folder)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "photos": lambda: on_photographs(collected(work / "photos", chosen), chosen, size.rounds),
            "large": lambda: on_large(work, chosen[:: max(1, len(chosen) // size.large)][: size.large]),
            "memory": lambda: on_many(work / "many", files, size.parts),
            "mannequins": lambda: on_mannequins(work, size),
        }
        only = common.chosen(parser, options.only, PARTS)
        measured = {
            name: part() | {"commit": common.environment()["commit"]}
            if name in only
            else common.earlier("pose", name, quick=options.quick)
            for name, part in parts.items()
        }
    return report(measured, quick=options.quick)


def report(measured: dict[str, Any], *, quick: bool) -> int:
    photos, large, memory, mannequins = (measured[name] for name in ("photos", "large", "memory", "mannequins"))
    asked = ASKED_IN_HASTE if quick else 1.0
    rate = photos["images_per_second"]["everybody, 2"]["median"]
    reached = {
        "times MediaPipe's rate on one CPU": (photos["ratio"]["1"]["median"], asked * LEAST_RATIO[1]),
        "times MediaPipe's rate on two": (photos["ratio"]["2"]["median"], asked * LEAST_RATIO[2]),
        "images/s": (rate, asked * LEAST_RATE),
        "large images/s": (large["images_per_second"], asked * LEAST_RATE_LARGE),
        "of photographs with a person": (photos["found"], asked * LEAST_FOUND),
    }
    failures = [f"{found:.2f} {what}, not {least:.2f}" for what, (found, least) in reached.items() if found < least]
    for name, most in (("growth", MOST_GROWTH), ("to_write", MOST_TO_WRITE)):
        if not memory.get(name, np.inf) <= most:
            failures.append(f"{memory.get(name, np.inf):.0f} MB ({name}), not {most}")
    one, two = (photos["ratio"][cpus]["median"] for cpus in ("1", "2"))
    figure = (
        f"{rate:.0f} images/s on 2 CPUs; for one person {one:.2f} and {two:.2f} times MediaPipe's loop on 1 and 2; "
        f"PCK@0.2 {mannequins['pck']['ours']:.3f}, MediaPipe's {mannequins['pck']['mediapipe']:.3f}"
    )
    return common.conclude("pose", __doc__, measured, figure=figure, failures=failures, quick=quick)


def collected(folder: Path, files: Sequence[Path]) -> Collection:
    """A collection of these files."""
    source = folder / "source"
    for file in files:
        (source / file.parent.name).mkdir(parents=True, exist_ok=True)
        (source / file.parent.name / file.name).symlink_to(file.resolve())
    import_folder(source, folder / "collection")
    return Collection.open(folder / "collection")


def on_photographs(collection: Collection, files: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Rates of both sides in turn, and in how many photographs a person was found."""
    runs = {"one person, 1": (1, 1), "one person, 2": (1, 2), "everybody, 2": (PoseSettings().people, 2)}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ("mediapipe", *runs)}
    for number in range(rounds):
        taken["mediapipe"].append(mediapipe(files, cpus=1))
        for name, (most, cpus) in runs.items():
            (collection.root / keypoints.TABLE).unlink(missing_ok=True)
            taken[name].append(ours(collection, cpus, most))
        said = ", ".join(f"{side} {len(files) / each[-1]['seconds']:.0f}/s" for side, each in taken.items())
        print(f"round {number + 1}, {len(files)} photographs: {said}", flush=True)
    table = keypoints.read(collection).table
    found = table.loc[table["person"] == 0, "score"].ge(0.5).sum() / table["id"].nunique()
    people = keypoints.read(collection).counts()
    rates = {name: spread([len(files) / each["seconds"] for each in taken[name]]) for name in taken}
    return {
        "images": len(files),
        "mediapipe_images_per_second": rates.pop("mediapipe"),
        "images_per_second": rates,
        "ratio": {"1": ratio(taken, "one person, 1", "cpu"), "2": ratio(taken, "one person, 2", "seconds")},
        "found": float(found),
        "nobody": int((people == 0).sum()),
        "several": int((people > 1).sum()),
    }


def ratio(taken: dict[str, list[dict[str, float]]], name: str, unit: str) -> dict[str, float]:
    """How many times MediaPipe's rate a run of ours has, round by round, in `seconds` or in `cpu` seconds."""
    rounds = zip(taken["mediapipe"], taken[name], strict=True)
    return spread([theirs[unit] / ours[unit] for theirs, ours in rounds])


def on_large(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Photographs of LARGE pixels: the rate on 2 CPUs, and how far the joints are from those of a whole decode."""
    large = folder / "enlarged"
    enlarged = []
    for file in files:
        with Image.open(file) as image:
            scale = LARGE / max(image.size)
            picture = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
        enlarged.append(large / file.parent.name / f"{file.stem}.jpg")
        enlarged[-1].parent.mkdir(parents=True, exist_ok=True)
        picture.save(enlarged[-1], quality=90)
    collection = collected(folder / "large", enlarged)
    rate = len(files) / ours(collection, 2)["seconds"]
    estimator, found, moved = PoseSettings().load(), keypoints.read(collection), []
    for key, content_id in zip(*collection.images().head(10)[["key", "id"]].to_numpy().T, strict=True):
        drafted = found.people(content_id)
        whole = estimator.people(Image.open(large / key).convert("RGB"))
        if drafted and whole:
            moved.append(apart(drafted[0], whole[0].joints))
    print(f"{len(files)} photographs of {LARGE} pixels: {rate:.0f}/s; joints moved by {np.mean(moved):.4f} of the body")
    return {"images": len(files), "images_per_second": rate, "moved_by_draft": spread(moved)}


def on_many(folder: Path, files: Sequence[Path], images: int) -> dict[str, Any]:
    """Megabytes that `curate pose` has, early and late while it looks at so many images, and at most."""
    sources = []
    for number in range(images):
        file = files[number % len(files)]
        sources.append(folder / "parts" / file.parent.name / f"{number}.jpg")
        sources[-1].parent.mkdir(parents=True, exist_ok=True)
        part(file, np.random.default_rng(number)).save(sources[-1], quality=80)
    samples = watched_pose(collected(folder, sources))
    looking = [sample for sample in samples if 0.1 * images <= sample.trials < images]
    early, late = (
        statistics.median(sample.own for sample in looking if low * images <= sample.trials < high * images)
        for low, high in ((0.1, 0.3), (0.8, 1.0))
    )
    peak = max(sample.own for sample in samples)
    print(f"{images} images: {early:.0f} MB early, {late:.0f} MB late, {peak:.0f} MB at most", flush=True)
    return {"images": images, "early": early, "late": late, "growth": late - early, "to_write": peak - late}


def part(file: Path, chance: np.random.Generator) -> Image.Image:
    """A part of a photograph that nearly holds the person, PART pixels wide and high."""
    with Image.open(file) as image:
        image.draft("RGB", (PART, PART))
        share = chance.uniform(0.6, 1, 2)
        left, top = chance.uniform(0, 1 - share)
        edges = np.array([left, top, left + share[0], top + share[1]]) * [*image.size, *image.size]
        return image.convert("RGB").resize((PART, PART), box=tuple(edges.tolist()))


def watched_pose(collection: Collection) -> list[Sample]:
    """The memory of `curate pose`; `trials` are the images that it says it has looked at."""
    progress = collection.root.parent / "progress"
    command = [sys.executable, "-c", "from curate.cli import app; app()", "pose", str(collection.root)]
    with progress.open("w") as told:
        child = subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, stderr=told, text=True)
        done = re.compile(r"finding people: (\d+)/")
        samples = watched(child, lambda: int((done.findall(progress.read_text()) or [0])[-1]), every=0.1)
    if child.returncode:
        raise RuntimeError(progress.read_text())
    return samples


def on_mannequins(folder: Path, size: Size) -> dict[str, Any]:
    """PCK@0.2 of the torso over the body's twelve joints, by pose and side."""
    out = folder / "mannequins"
    render_folder(out, poses.chosen(size.poses), size.per_pose, size=320, seed=1)
    told = [json.loads(line) for line in sidecar(out).read_text().splitlines()]
    files = [out / one["file"] for one in told]
    theirs = answers(files)
    estimators = {"ours": PoseSettings().load(), "ours, second pass": PoseSettings(second_pass=True).load()}
    near: dict[str, dict[str, list[float]]] = {}
    distances = []
    for one, file, their in zip(told, files, theirs, strict=True):
        known = np.array(one["keypoints"])
        with Image.open(file) as image:
            found = {name: estimator.people(image.convert("RGB")) for name, estimator in estimators.items()}
        joints = {name: people[0].joints if people else None for name, people in found.items()}
        joints["mediapipe"] = None if their is None else np.array(their)
        for name, each in joints.items():
            near.setdefault(name, {}).setdefault(one["pose"], []).append(pck(each, known))
        if found["ours"] and their is not None:
            distances.append(apart(found["ours"][0], np.array(their)))
    by_pose = {name: {pose: float(np.mean(each)) for pose, each in by.items()} for name, by in near.items()}
    overall = {name: float(np.mean([one for each in by.values() for one in each])) for name, by in near.items()}
    print(f"PCK@0.2 of {len(files)} mannequins: {', '.join(f'{name} {value:.3f}' for name, value in overall.items())}")
    return {"images": len(files), "pck": overall, "by_pose": by_pose, "apart_from_mediapipe": spread(distances)}


def pck(joints: np.ndarray | None, known: np.ndarray) -> float:
    """The share of the body's joints within a fifth of the torso. joints: (33, ...); known: COCO's, (17, 3)."""
    if joints is None:
        return 0.0
    torso = float(np.hypot(*(known[5:7, :2].mean(0) - known[11:13, :2].mean(0))))
    size = float(np.ptp(known[known[:, 2] > 0, :2], axis=0).max())
    away = np.hypot(*(joints[list(COCO), :2] - known[:, :2]).T)[5:]
    return float((away < 0.2 * max(torso, 0.15 * size))[known[5:, 2] > 0].mean())  # seen from above, a torso is short


def apart(person: Person, other: np.ndarray) -> float:
    """The mean distance of joints, in parts of the body's size."""
    size = float(np.hypot(*(person.box[2:] - person.box[:2])))
    return float(np.hypot(*(person.joints[:, :2] - other[:, :2]).T).mean() / size)


def ours(collection: Collection, cpus: int, most: int = PoseSettings().people) -> dict[str, float]:
    """`seconds` of `curate pose`, in a process of its own, and its `cpu` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "seconds.json")
        command = [
            sys.executable,
            "-m",
            "benchmarks.pose",
            "--one",
            str(collection.root),
            str(told),
            "--people",
            str(most),
        ]
        run(command, cpus, cwd=HERE.parent)
        return dict(json.loads(told.read_text()))


def look(root: Path, told: Path, most: int) -> int:
    """What `ours` measures: all images but one, less what that one took with the start; told as if for all."""
    collection = Collection.open(root)
    images = collection.images()
    PoseSettings().load()  # LiteRT is imported
    start, rest = timed_look(collection, images.head(1), most), timed_look(collection, images, most)
    looked_at = len(images) - 2
    told.write_text(json.dumps({unit: (rest[unit] - start[unit]) * len(images) / looked_at for unit in start}))
    return 0


def timed_look(collection: Collection, images: pd.DataFrame, most: int) -> dict[str, float]:
    """Seconds, and seconds of CPUs, of what is new among the images."""
    begun, cpu = time.perf_counter(), time.process_time()
    estimate(collection, images, PoseSettings(people=most), WorkerSettings(workers=1))
    return {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


def mediapipe(files: Sequence[Path], cpus: int) -> dict[str, float]:
    """`seconds` of MediaPipe's loop, and its `cpu` seconds."""
    command = [str(common.venv("mediapipe") / "bin" / "python"), str(HERE / "pose_peers.py"), "1", "time"]
    return dict(json.loads(run(command, cpus, given="\n".join(map(str, files)))))


def answers(files: Sequence[Path]) -> list[list[list[float]] | None]:
    """MediaPipe's joints, (33, 3) each: x, y in pixels, visibility."""
    command = [str(common.venv("mediapipe") / "bin" / "python"), str(HERE / "pose_peers.py"), "1"]
    return [json.loads(line) for line in run(command, 2, given="\n".join(map(str, files))).splitlines()]


def run(command: Sequence[str], cpus: int, *, given: str = "", cwd: Path | None = None) -> str:
    """What a process prints that is pinned to so many CPUs."""
    allowed = sorted(os.sched_getaffinity(0))[:cpus]
    done = subprocess.run(
        ["taskset", "--cpu-list", ",".join(map(str, allowed)), *command],
        input=given,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return done.stdout


def write_reference() -> int:
    """MediaPipe's answers to the people that the tests render."""
    from tests.curate.conftest import EACH, POSES, SEED, SIZE

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "photos")
        render_folder(out, POSES, EACH, size=SIZE, seed=SEED)
        files = sorted(out.glob("*/*.jpg"))
        lines = [
            f" {json.dumps(f'{file.parent.name}/{file.name}')}: {json.dumps(joints, separators=(',', ':'))}"
            for file, joints in zip(files, answers(files), strict=True)
        ]
    REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{REFERENCE}: {len(lines)} images")
    return 0


def write_sheet() -> int:
    """Rendered people, and the skeletons that were found on them."""
    estimator, side = PoseSettings().load(), 200
    with tempfile.TemporaryDirectory() as folder:
        render_folder(Path(folder), poses.chosen("all"), 1, size=320, seed=3)
        files = sorted(Path(folder).glob("*/*.jpg"))[:SHOWN]
        sheet = Image.new("RGB", (6 * side, -(-len(files) // 6) * side), "white")
        for number, file in enumerate(files):
            with Image.open(file) as image:
                picture = image.convert("RGB")
            small = drawn(picture, estimator.people(picture)).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (number % 6 * side, number // 6 * side))
    sheet.quantize(128).save(SHEET, optimize=True)
    print(SHEET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
