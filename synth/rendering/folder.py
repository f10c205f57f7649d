"""A folder of rendered images, a folder for each pose, that can be stopped, resumed and enlarged at any moment."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.body.poses import Pose, named
from curate.foundation import atomic, console, json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.workers.opening import Shared, in_order
from curate.workers.settings import WorkerSettings
from synth.rendering import planted_defects as planted
from synth.rendering.render import jpeg, render

SIZES = (64, 1024)


@dataclass(frozen=True)
class Summary:
    """What a run did: images drawn, images that were there already, defects planted, seconds."""

    out: Path
    rendered: int
    present: int
    planted: tuple[planted.Plant, ...]
    seconds: float


@dataclass(frozen=True)
class _Task:
    out: Path
    pose: Pose
    index: int
    seed: int
    size: int

    @property
    def file(self) -> str:
        return f"{self.pose.name}/{self.pose.name}_{self.index:04d}.jpg"


def sidecar(out: Path) -> Path:
    """Where the keypoints of a folder are written: beside it, because a class folder holds images and nothing else."""
    return out.with_name(out.name + ".keypoints.jsonl")


def render_folder(
    out: Path,
    poses: Sequence[str | Pose],
    per_class: int,
    *,
    size: int = 256,
    seed: int = 0,
    workers: WorkerSettings | None = None,
    planted_defects: bool = False,
) -> Summary:
    """Fill `out` with `per_class` images of each pose, `POSE/POSE_0007.jpg`; what is there already stays.

    poses: themselves, or names of shipped ones.
    planted_defects: whether known defects are added, for what is to find them (see `planted_defects.plan`).

    Beside the folder: `OUT.keypoints.jsonl`, and with `planted_defects` also `OUT.planted-defects.csv`. One run at a
    time may work on a folder. UsageError for an unknown pose, a number that makes no sense, or a folder made with other
    settings.
    """
    began = time.monotonic()
    out = Path(out).absolute()
    _check(out, per_class, size)
    wanted = {named(pose).name: named(pose) for pose in poses}
    plan = planted.plan(out, list(wanted), per_class, seed) if planted_defects else ()
    records = _known(sidecar(out), size, seed)
    _check_poses(out, records, wanted)
    _sweep(out, wanted)
    tasks = [_Task(out, pose, index, seed, size) for pose in wanted.values() for index in range(per_class)]
    missing = [task for task in tasks if task.file not in records or not (out / task.file).exists()]
    try:
        _draw(out, missing, workers or WorkerSettings(), records)
        planted.plant(out, plan, wanted, size, seed)
    except OSError as error:
        raise FewposeError(f"cannot write to {out}: {error.strerror or error}") from None
    return Summary(out, len(missing), len(tasks) - len(missing), plan, time.monotonic() - began)


def _check(out: Path, per_class: int, size: int) -> None:
    if per_class < 1:
        raise UsageError(f"--per-class must be at least 1, not {per_class}")
    if per_class > 10_000:
        raise UsageError(f"--per-class must be at most 10000, not {per_class}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"--size must be from {SIZES[0]} to {SIZES[1]} pixels, not {size}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder that exists or can be made")


def _draw(out: Path, missing: list[_Task], workers: WorkerSettings, records: dict[str, Any]) -> None:
    """Draw what is missing, noting each image's line as soon as it is there; then write all lines in order."""
    path = sidecar(out)
    if not missing:
        return
    # First without half a line that a killed run may have left at its end.
    _write(path, records)
    with path.open("a", encoding="utf-8") as lines, console.progress("rendering", len(missing)) as advance:
        for record in in_order(_make, missing, workers, shared=Shared(out.parent)):
            records[record["file"]] = record
            lines.write(_line(record))
            lines.flush()
            advance(1)
    _write(path, records)


def _make(task: _Task) -> dict[str, Any]:
    """Draw one image into its place; returns its line of the sidecar."""
    drawn = render(task.pose, seed=task.seed, size=task.size, index=task.index)
    atomic.write_bytes(task.out / task.file, jpeg(drawn.image))
    return {
        "file": task.file,
        "pose": task.pose.name,
        "pose_digest": task.pose.digest,
        "seed": task.seed,
        "size": task.size,
        "keypoints": [[round(float(x), 2), round(float(y), 2), int(seen)] for x, y, seen in drawn.keypoints],
        "camera": drawn.camera.describe(),
    }


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True) + "\n"


def _write(path: Path, records: dict[str, Any]) -> None:
    atomic.write_text(path, "".join(_line(records[file]) for file in sorted(records)))


def _known(path: Path, size: int, seed: int) -> dict[str, Any]:
    """File -> line of an earlier run; UsageError if that run had another size or seed."""
    if not path.exists():
        return {}
    records: dict[str, Any] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json_files.parse_object(line)
            records[json_files.entry(record, "file", str)] = record
            settings = (record["size"], record["seed"])
        except (ValueError, KeyError):
            if number == len(lines):  # a killed run leaves half a line
                break
            raise FewposeError(f"{path}, line {number}: not a line of ours; remove the file to draw anew") from None
        if settings != (size, seed):
            raise UsageError(
                f"{path.name} says that the folder was drawn with --size {settings[0]} --seed {settings[1]}; "
                "use the same, or another folder"
            )
    return records


def _check_poses(out: Path, records: dict[str, Any], poses: dict[str, Pose]) -> None:
    """Raises UsageError where a pose was drawn as a pose file said that has changed since, or was another one."""
    digests = {name: pose.digest for name, pose in poses.items()}
    for record in records.values():
        name = record.get("pose")
        if name in digests and record.get("pose_digest", digests[name]) != digests[name]:  # older versions wrote none
            raise UsageError(f"{out} shows {name} as another pose file has it; use that file, or another folder")


def _sweep(out: Path, poses: Iterable[str]) -> None:
    """Remove the temporary files that a killed run left among the images."""
    for pose in poses:
        atomic.remove_unfinished(out / pose, seconds=0)
