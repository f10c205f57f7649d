"""Claims: what a trained model says of itself holds for photographs that it has not seen. Of photos18, 12 classes are
learned from four fifths of their images.

1. lite0, linear-probe: on the last fifth the accuracy differs from the model
card's by less than 3 points on average, probabilities are off by less than 5 points (calibration error), and about the
promised 5 % (2 to 9 %) of known postures are called none of these. Of photographs of the other 6 classes, which it was
never shown, at least a fifth are, and at least four times as many as of known ones.
2. pose, and pose+linear-probe: known and foreign postures are told apart by the probability of the likeliest class
with an area under the curve of at least 0.93, and at least 60 % of the foreign are called none of these where 5 % of
the known would be.

Eight rounds, each with another choice of 6 foreign classes and another split. The foreign ones are yoga poses, too, on
the same kind of photographs: as hard as such a test can be.

    python -m benchmarks.unknown            ten minutes
    python -m benchmarks.unknown --quick    one round of pose on 25 photographs a class: under a minute
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import PHOTOS, conclude, few_photographs
from curate.collection.directory import Collection
from curate.images.pixels import PixelCache
from curate.importing.importer import import_folder
from curate.pose.needed import keypoints_of
from curate.workers.settings import WorkerSettings
from fewshot.measuring.statistics import summarize
from fewshot.sweeping import plan as planning
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

FOREIGN = 6  # classes
ROUNDS = 8
FEW = 25  # photographs a class
METHODS = ("linear-probe", "pose", "pose+linear-probe")
KNOWN_REFUSED = 0.05  # where the foreign ones that are refused are counted, whatever the model's own threshold
EVERYTHING = 10_000  # images a class: all that a split's pool has


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = few_photographs(options.photos, Path(folder, "few"), FEW) if options.quick else options.photos
        import_folder(photos, Path(folder, "collection"), link=True)
        rounds = {
            method: [one_round(Path(folder), method, number) for number in range(1 if options.quick else ROUNDS)]
            for method in (("pose",) if options.quick else METHODS)
        }
    return report(rounds, quick=options.quick)


def one_round(folder: Path, method: str, number: int) -> dict[str, float]:
    collection = Collection.open(folder / "collection")
    images = collection.images()
    classes = sorted(set(images["label"]))
    foreign = set(np.random.default_rng(number).choice(classes, FOREIGN, replace=False))
    sweep = SweepSettings.of(
        collection.root,
        folder / f"model{number}-{method}",
        methods=(method,),
        shots=(EVERYTHING,),
        splits=number + 1,
        classes=tuple(name for name in classes if name not in foreign),
        short="all",
    )
    about = train(TrainSettings(sweep, shots=EVERYTHING, split=number)).about
    model = directory.load(sweep.out)
    pixels, foreign_images = PixelCache(collection, about.transform), images[images["label"].isin(foreign)]
    pixels.fill(images)
    joints = keypoints_of(collection, images, WorkerSettings()).joints if about.keypoints else None
    known, unknown = (
        model.probabilities(pixels.take(rows["id"]), joints(list(rows["id"])) if joints else None).max(axis=1)
        for rows in (planning.make(sweep).split(number).test, foreign_images)
    )
    held, test = about.measured["held_back"], about.measured["test"]
    return {
        "accuracy": test["accuracy"],
        "less_than_the_card": held["accuracy"] - test["accuracy"],
        "calibration_error": test["calibration_error"],
        "known_refused": 1 - test["answered"],
        "accuracy_of_answered": test["accuracy_of_answered"],
        "foreign_refused": float((unknown < about.threshold).mean()),
        "foreign_refused_at_5": float((unknown < np.quantile(known, KNOWN_REFUSED)).mean()),
        "area_under_curve": float(roc_auc_score(np.arange(len(known) + len(unknown)) < len(known), [*known, *unknown])),
        "threshold": about.threshold,
        "temperature": about.temperature,
    }


def report(rounds: dict[str, list[dict[str, float]]], *, quick: bool) -> int:
    told = {method: means(method, each) for method, each in rounds.items()}
    holds = all(
        (true_of_itself if method == "linear-probe" else tells_foreign)(
            {name: one["mean"] for name, one in each.items()}
        )
        for method, each in told.items()
    )
    areas = ", ".join(
        f"{method} {each['area_under_curve']['mean']:.3f} "
        f"[{each['area_under_curve']['low']:.3f}, {each['area_under_curve']['high']:.3f}]"
        for method, each in told.items()
    )
    result = {"means": told, "rounds": rounds}
    return conclude("unknown", __doc__, result, holds=holds, figure=f"none of these, area: {areas}", quick=quick)


def means(method: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    print(method)
    found: dict[str, Any] = {name: asdict(summarize([each[name] for each in rounds])) for name in rounds[0]}
    for name, each in found.items():
        print(f"  {name:22} {each['mean']:7.3f}  [{each['low']:.3f}, {each['high']:.3f}]")
    return found


def true_of_itself(mean: dict[str, float]) -> bool:
    return (
        abs(mean["less_than_the_card"]) < 0.03
        and mean["calibration_error"] < 0.05
        and 0.02 < mean["known_refused"] < 0.09
        and mean["foreign_refused"] > max(0.2, 4 * mean["known_refused"])
    )


def tells_foreign(mean: dict[str, float]) -> bool:
    return mean["area_under_curve"] >= 0.93 and mean["foreign_refused_at_5"] >= 0.6


if __name__ == "__main__":
    sys.exit(main())
