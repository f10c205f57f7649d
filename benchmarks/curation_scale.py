"""Claim: 20,000 pictures are checked in minutes with less than 2 GB, and become a FiftyOne dataset in a minute.

16,360 skeleton drawings of 82 classes, and copies of 3,640 of them, mirrored or recompressed, are imported by link.
Each part runs in a process of its own: the check without a model, the same again (what was measured is in the cache),
the FiftyOne dataset, once new and once more as it is, and the rules that need features.
Reported are seconds by the clock and of the CPU, the highest memory, and what of it the imported modules take.
Features of 20,000 pictures take minutes to compute and tell nothing of the rules, so they are made up: each is its
class's mean and noise, of lite0's 1,280 numbers.

    python -m benchmarks.curation_scale            about ten minutes
    python -m benchmarks.curation_scale --quick    of 600 pictures
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps

from benchmarks import common, groups
from benchmarks.planted import jpeg
from curate.checks.check import check
from curate.checks.rules.outlier import OUTLIER
from curate.checks.rules.rule import Inputs
from curate.checks.rules.wrong_label import WRONG_LABEL
from curate.collection import sets
from curate.collection.directory import Collection
from curate.images.decoding import open_image
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder

IMAGES, QUICK = 20_000, 600
WIDTH = 1280  # of a feature
MOST_MEGABYTES = 2_000
MOST_SECONDS = {"check": 900, "dataset": 60}


def planted(folder: Path, out: Path, count: int) -> None:
    """`count` pictures, a folder a class: those of `folder`, by symbolic link, and copies."""
    files = sorted(folder.glob("*/*.jpg"))[: round(count * 0.818)]
    random = np.random.default_rng(0)
    for file in files:
        (out / file.parent.name).mkdir(parents=True, exist_ok=True)
        (out / file.parent.name / file.name).symlink_to(file.resolve())
    for number, i in enumerate(random.choice(len(files), count - len(files), replace=False)):
        image = open_image(files[i].read_bytes()).image
        made = ImageOps.mirror(image) if number % 2 else groups.jpeg(image, 50)
        (out / files[i].parent.name / f"copy-{files[i].name}").write_bytes(jpeg(made))


def features(labels: np.ndarray) -> np.ndarray:
    """(n, WIDTH) of length 1: a fifth of the variance is between classes."""
    classes, numbers = np.unique(labels, return_inverse=True)
    random = np.random.default_rng(0)
    made = random.standard_normal((len(classes), WIDTH), np.float32)[numbers]
    made += 2 * random.standard_normal(made.shape, np.float32)
    result: np.ndarray = made / np.linalg.norm(made, axis=1, keepdims=True)
    return result


def run_check(collection: Collection) -> dict[str, Any]:
    found = check(collection, model=None)
    return {"flagged": {name: rule.flagged for name, rule in found.rules.items() if not rule.not_run}}


def run_feature_rules(collection: Collection) -> dict[str, Any]:
    images = sets.labelled(collection)
    made, said = features(images["label"].to_numpy(str)), {}
    with closing(Signatures(collection)) as signatures:
        inputs = Inputs(collection, images, signatures, made, "made up", os.cpu_count() or 1)
        for rule in (WRONG_LABEL, OUTLIER):
            start = time.perf_counter()
            found = rule.run(inputs, rule.parameters)
            flagged = int((found["score"] >= rule.parameters["threshold"]).sum())
            said[rule.name] = {"seconds": round(time.perf_counter() - start, 1), "flagged": flagged}
    return said


def run_dataset(collection: Collection) -> dict[str, Any]:
    from curate.app import database, dataset

    database.connect(collection)
    return {"samples": len(dataset.build(collection))}


PARTS: dict[str, Callable[[Collection], dict[str, Any]]] = {
    "check": run_check,
    "check again": run_check,
    "dataset": run_dataset,
    "dataset again": run_dataset,
    "rules with features": run_feature_rules,
}


def part(name: str, collection: Path) -> int:
    """Run one part here, and print what it took as JSON in the last line. Memory is that of this process alone."""
    imported, start, cpu = _megabytes(), time.perf_counter(), time.process_time()
    said = PARTS[name](Collection.open(collection))
    taken = {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "megabytes": _megabytes(),
        "megabytes_imported": imported,
    }
    print(json.dumps(taken | said))
    return 0


def _megabytes() -> int:
    """The most that this process had in memory. Not ru_maxrss, in which a new process starts with its parent's."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def measured(name: str, collection: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.curation_scale", "--part", name, "--collection", str(collection)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    said = dict(json.loads(done.stdout.splitlines()[-1]))
    print(f"{name}: {said}", flush=True)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=common.PHOTOS, help="has skeletons82")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--collection", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return part(options.part, options.collection)
    if not (options.data / "skeletons82").is_dir():
        parser.error(f"{options.data} lacks skeletons82")
    count = QUICK if options.quick else IMAGES
    with tempfile.TemporaryDirectory() as temporary:
        photos, collection = Path(temporary, "photos"), Path(temporary, "collection")
        planted(options.data / "skeletons82", photos, count)
        start = time.perf_counter()
        import_folder(photos, collection, link=True)
        parts: dict[str, Any] = {"import": {"seconds": round(time.perf_counter() - start, 1)}}
        print(f"import: {parts['import']}", flush=True)
        for name in PARTS:
            parts[name] = measured(name, collection)
    return report(count, parts, quick=options.quick)


def report(count: int, parts: dict[str, Any], *, quick: bool) -> int:
    failures = [
        f"{name} took {parts[name]['seconds']} s"
        for name, most in MOST_SECONDS.items()
        if parts[name]["seconds"] > most
    ]
    failures += [
        f"{name} took {said['megabytes']} MB"
        for name, said in parts.items()
        if said.get("megabytes", 0) > MOST_MEGABYTES
    ]
    print()
    result = {"images": count, "load": os.getloadavg()[0], "parts": parts}
    figure = f"{count} images, " + ", ".join(f"{name} {said['seconds']} s" for name, said in parts.items())
    return common.conclude("curation_scale", __doc__, result, failures=failures, figure=figure, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
