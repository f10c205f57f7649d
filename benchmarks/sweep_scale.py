"""Claim: a sweep over 82 classes and 16,360 images (skeletons82) needs no more memory the longer it runs: the peak in
the second half of its trials is at most a tenth above the peak in the first half, with `linear-probe` (52 splits x 6,
20 and 43 images a class) and with `finetune-last1` (a small grid: 6 splits x 20 images a class), lite0 on the CPU.

The whole is timed: import, embedding, and each sweep as the command line runs it, in a process of its own with one
worker a core. Memory is what all its processes hold together that is theirs (Pss_Anon and Pss_Shmem of Linux, sampled
twice a second); pages of the pixel cache, which are mapped from files, are the system's to take back, and told apart.
A class with fewer images than are asked for gives what it has.

    python -m benchmarks.sweep_scale            an hour or so; interrupted, the same command goes on (--work)
    python -m benchmarks.sweep_scale --quick    three classes: a minute, and says little
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import PHOTOS, conclude
from curate.collection.directory import Collection
from curate.foundation import atomic
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.models.embeddings import embed
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings

WORK = Path(__file__).resolve().parents[1] / "runs" / "benchmarks" / "sweep_scale"
MOST_GROWTH = 1.1
EVERY = 0.5  # seconds between two samples of memory


@dataclass(frozen=True)
class Grid:
    method: str
    shots: tuple[int, ...]
    splits: int

    @property
    def trials(self) -> int:
        return len(self.shots) * self.splits


# A block of 13 splits is done before the next begins, so both halves of 52 have the same numbers of images a class.
GRIDS = {
    "linear-probe": Grid("linear-probe", (6, 20, 43), 52),
    "finetune-last": Grid("finetune-last1", (20,), 6),
}
QUICK = {
    "linear-probe": Grid("linear-probe", (6,), 52),
    "finetune-last": Grid("finetune-last1", (2,), 4),
}
QUICK_CLASSES = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=PHOTOS / "skeletons82", help="a folder per class")
    parser.add_argument("--work", type=Path, help="where collection, sweeps and what was measured are kept")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"--data {options.data}: no such folder")
    work = options.work or WORK.with_name(WORK.name + (".quick" if options.quick else ""))
    work.mkdir(parents=True, exist_ok=True)
    if options.part:
        run_part(options.part, work, options.data, quick=options.quick)
        return 0
    names = ("import", "embed", *(QUICK if options.quick else GRIDS))
    return report({name: measured(name, work, options) for name in names}, work, quick=options.quick)


def measured(name: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A part run in a process of its own, or what an earlier call of this program measured of it."""
    kept = work / f"{name}.json"
    if kept.exists():
        said = dict(json.loads(kept.read_text()))
        print(f"{name}: measured before: {said}", flush=True)
        return said
    flags = ["--quick"] if options.quick else []
    command = [sys.executable, "-m", "benchmarks.sweep_scale", "--part", name, "--work", work, "--data", options.data]
    begun = time.perf_counter()
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        samples = watched(child, lambda: finished(work, name))
        assert child.stdout is not None
        output = child.stdout.read()
    if child.returncode:
        sys.exit(f"{name} failed (exit status {child.returncode}); run it alone: {' '.join(map(str, command[1:]))}")
    said = {"seconds": round(time.perf_counter() - begun, 1), **json.loads(output.splitlines()[-1]), **memory(samples)}
    atomic.write_json(kept, said)
    print(f"{name}: {said}", flush=True)
    return said


@dataclass(frozen=True)
class Sample:
    """Megabytes of a tree of processes, and how many trials were finished then."""

    own: float
    mapped: float
    trials: int


def watched(child: "subprocess.Popen[str]", trials: Callable[[], int], every: float = EVERY) -> list[Sample]:
    """Samples until the process ends.  every: seconds."""
    import psutil

    samples = []
    while child.poll() is None:
        try:
            tree = [child.pid, *(each.pid for each in psutil.Process(child.pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            break
        parts = [pss(pid) for pid in tree]
        samples.append(Sample(sum(part[0] for part in parts), sum(part[1] for part in parts), trials()))
        time.sleep(every)
    child.wait()
    return samples


def pss(pid: int) -> tuple[float, float]:
    """Megabytes of a process: its own, and those mapped from files; shared ones by parts. 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss")}
    return found.get("Pss_Anon", 0.0) + found.get("Pss_Shmem", 0.0), found.get("Pss_File", 0.0)


def memory(samples: list[Sample]) -> dict[str, Any]:
    """The peaks, and for a sweep those of its two halves, from its first finished trial on."""
    said: dict[str, Any] = {
        "megabytes": round(max((each.own for each in samples), default=0)),
        "megabytes_mapped": round(max((each.mapped for each in samples), default=0)),
    }
    last = max((each.trials for each in samples), default=0)
    first = min((each.trials for each in samples), default=0)  # those of a call that was interrupted
    halves = [
        [each.own for each in samples if first <= each.trials < (first + last) / 2],
        [each.own for each in samples if each.trials >= (first + last) / 2],
    ]
    if last > first and all(halves):
        said |= {"halves": [round(max(half)) for half in halves], "growth": round(max(halves[1]) / max(halves[0]), 3)}
    return said


def finished(work: Path, name: str) -> int:
    return sum(1 for _ in (work / f"sweep-{name}" / "trials").rglob("[!.]*.json"))


def run_part(name: str, work: Path, data: Path, *, quick: bool) -> None:
    """One part in this process; its last line of output is JSON."""
    collection = work / "collection"
    if name == "import":
        said: dict[str, Any] = {"images": import_part(work, data, quick=quick)}
    elif name == "embed":
        opened = Collection.open(collection)
        said = {"features": list(embed(opened, opened.images(), clip_models.load("lite0", device="cpu")).shape)}
    else:
        said = sweep_part((QUICK if quick else GRIDS)[name], collection, work / f"sweep-{name}")
    print(json.dumps(said), flush=True)


def import_part(work: Path, data: Path, *, quick: bool) -> int:
    source = data
    if quick:
        source = work / "links"
        source.mkdir(exist_ok=True)
        for folder in sorted(data.iterdir())[:QUICK_CLASSES]:
            if not (source / folder.name).exists():
                (source / folder.name).symlink_to(folder.resolve())
    import_folder(source, work / "collection", link=True)
    return len(Collection.open(work / "collection").images())


def sweep_part(grid: Grid, collection: Path, out: Path) -> dict[str, Any]:
    done = run_sweep(
        SweepSettings.of(
            collection,
            out,
            methods=(grid.method,),
            shots=grid.shots,
            splits=grid.splits,
            short="all",
            device="cpu",
            workers=os.cpu_count() or 1,
        )
    )
    return {"trials": done.done, "found": done.found, "failed": done.failed, "grid": [grid.shots, grid.splits]}


def report(parts: dict[str, Any], work: Path, *, quick: bool) -> int:
    failures = []
    for name, said in parts.items():
        if name not in GRIDS:
            continue
        new = said["trials"] - said["found"]
        said["trials_an_hour"] = round(3600 * new / said["seconds"])
        print(
            f"{name}: {new} trials in {said['seconds']:.0f} s, {said['trials_an_hour']} an hour, {said['megabytes']} MB"
        )
        if said["failed"]:
            failures.append(f"{name}: failed trials: {said['failed']}")
        if "growth" not in said:
            failures.append(f"{name}: too short to compare its halves' memory; delete {work} and run it again")
        elif said["growth"] > MOST_GROWTH:
            failures.append(f"{name}: the second half's peak is {said['growth']} times the first's")
    growth = max((said["growth"] for said in parts.values() if "growth" in said), default=float("nan"))
    result = {"load": os.getloadavg()[0], "parts": parts}
    figure = f"memory grows {growth:.2f}x at most"
    return conclude("sweep_scale", __doc__, result, failures=failures, figure=figure, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
