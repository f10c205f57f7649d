"""Claim: what a trained model says of itself holds for photographs that it has not seen. Of photos18, 12 classes are
learned from four fifths of their images (lite0, linear-probe). On the last fifth the accuracy differs from the model
card's by less than 3 points on average, probabilities are off by less than 5 points (calibration error), and about the
promised 5 % (2 to 9 %) of known postures are called none of these. Of photographs of the other 6 classes, which it was
never shown, at least a fifth are, and at least four times as many as of known ones.

Eight rounds, each with another choice of 6 foreign classes and another split. The foreign ones are yoga poses, too, on
the same kind of photographs: as hard as such a test can be.

    python -m benchmarks.unknown            some minutes
    python -m benchmarks.unknown --quick    one round
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import PHOTOS, conclude
from curate.collection.directory import Collection
from curate.images.pixels import PixelCache
from curate.importing.importer import import_folder
from fewshot.measuring.statistics import summarize
from fewshot.sweeping import plan as planning
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

FOREIGN = 6  # classes
ROUNDS = 8
EVERYTHING = 10_000  # images a class: all that a split's pool has


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import_folder(options.photos, Path(folder, "collection"), link=True)
        rounds = [one_round(Path(folder), number) for number in range(1 if options.quick else ROUNDS)]
    return report(rounds, quick=options.quick)


def one_round(folder: Path, number: int) -> dict[str, float]:
    collection = Collection.open(folder / "collection")
    images = collection.images()
    classes = sorted(set(images["label"]))
    foreign = set(np.random.default_rng(number).choice(classes, FOREIGN, replace=False))
    sweep = SweepSettings.of(
        collection.root,
        folder / f"model{number}",
        methods=("linear-probe",),
        shots=(EVERYTHING,),
        splits=number + 1,
        classes=tuple(name for name in classes if name not in foreign),
        short="all",
    )
    about = train(TrainSettings(sweep, shots=EVERYTHING, split=number)).about
    model = directory.load(sweep.out)
    pixels, foreign_images = PixelCache(collection, about.transform), images[images["label"].isin(foreign)]
    pixels.fill(foreign_images)
    known, unknown = (
        model.probabilities(pixels.take(rows["id"])).max(axis=1)
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
        "area_under_curve": float(roc_auc_score(np.arange(len(known) + len(unknown)) < len(known), [*known, *unknown])),
        "threshold": about.threshold,
        "temperature": about.temperature,
    }


def report(rounds: list[dict[str, float]], *, quick: bool) -> int:
    told: dict[str, Any] = {name: asdict(summarize([each[name] for each in rounds])) for name in rounds[0]}
    for name, each in told.items():
        print(f"  {name:22} {each['mean']:7.3f}  [{each['low']:.3f}, {each['high']:.3f}]")
    mean = {name: each["mean"] for name, each in told.items()}
    holds = (
        abs(mean["less_than_the_card"]) < 0.03
        and mean["calibration_error"] < 0.05
        and 0.02 < mean["known_refused"] < 0.09
        and mean["foreign_refused"] > max(0.2, 4 * mean["known_refused"])
    )
    refused = [f"{100 * mean[f'{kind}_refused']:.1f} % of {kind}" for kind in ("known", "foreign")]
    figure = f"none of these: {', '.join(refused)} postures"
    result = {"means": told, "rounds": rounds}
    return conclude("unknown", __doc__, result, holds=holds, figure=figure, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
