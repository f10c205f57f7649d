"""One pass over a sweep's predictions: every trial's scores, confusion counts by cell, and what can't be scored."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Sweep, Trial
from fewshot.measuring import metrics
from fewshot.measuring.bootstrap import ImageBootstrap, Outcomes, Resampled
from fewshot.measuring.statistics import measured_overlap
from fewshot.trials.additions import composition

_PLACE = ("set", "method", "shots", "split")
_COUNTS = ("model", "train_images", "synthetic_images", "test_images")
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "ece_calibrated")


class Cell(NamedTuple):
    """The trials that differ in their splits alone."""

    set: str
    method: str
    shots: int


@dataclass(frozen=True)
class Measured:
    """A sweep's scores.

    trials      one row a scored trial: set, method, shots, split, model, train_images, synthetic_images (among them),
                test_images, then SCORES; in the order of the sweep's cells, then by split
    failed      one row a failed trial: set, method, shots, split, cause, detail; in the same order
    unfinished  trials of the plan that have no record yet
    confusions  a cell -> (classes, classes) int64 counts summed over its splits: true row, predicted column
    outcomes    a cell -> split -> which images were tested (by their number among the sweep's) and named rightly
    by_class    a cell -> split -> (classes, 2) int64: images of each class that were named rightly, and tested
    overlap     the share of a split's test images that another split tests too (see fewshot.measuring.statistics)
    tested      distinct images that were tested in any split
    majority    the accuracy of always answering the class that is most frequent among the test images
    """

    sweep: Sweep
    trials: pd.DataFrame
    failed: pd.DataFrame
    unfinished: list[Trial]
    confusions: dict[Cell, np.ndarray]
    outcomes: dict[Cell, dict[int, Outcomes]]
    by_class: dict[Cell, dict[int, np.ndarray]]
    overlap: float
    tested: int
    majority: float

    @property
    def cells(self) -> list[Cell]:
        """The cells of the plan: sets and methods as the sweep names them, shots ascending."""
        return _cells(self.sweep)

    @cached_property
    def resampled(self) -> dict[Cell, Resampled]:
        """Every scored cell's accuracies on resampled test images, on the same resamples for all."""
        bootstrap = ImageBootstrap(self.tested)
        return {cell: bootstrap.accuracies(outcomes) for cell, outcomes in self.outcomes.items()}


def measure(sweep: Sweep) -> Measured:
    """Score every finished trial. A trial whose predictions can't be scored is among the failed, with the cause."""
    scored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    confusions: dict[Cell, np.ndarray] = {}
    outcomes: dict[Cell, dict[int, Outcomes]] = {}
    by_class: dict[Cell, dict[int, np.ndarray]] = {}
    tests: dict[int, np.ndarray] = {}
    images = _ImageNumbers()
    for record in _ordered(sweep):
        trial = record.trial
        place = {"set": trial.set, "method": trial.method, "shots": trial.shots, "split": trial.split}
        if record.status != "done":
            failed.append(place | {"cause": record.cause or record.status, "detail": record.detail})
            continue
        try:
            predictions = records.read_predictions(sweep.directory, trial)
            scores = metrics.score(predictions, temperature(record, predictions))
            _check_classes(scores, sweep)
        except metrics.UnusablePredictionsError as error:
            failed.append(place | {"cause": "unusable", "detail": f"The predictions can't be scored: {error}."})
            continue
        cell = Cell(trial.set, trial.method, trial.shots)
        confusions[cell] = confusions.get(cell, 0) + scores.confusion
        counts = np.stack([np.diagonal(scores.confusion), scores.confusion.sum(axis=1)], axis=1)
        by_class.setdefault(cell, {})[trial.split] = counts
        right = predictions.logits.argmax(axis=1) == predictions.labels
        outcomes.setdefault(cell, {})[trial.split] = Outcomes(images.of(trial.split, predictions.keys), right)
        tests.setdefault(trial.split, predictions.keys)
        scored.append(place | _measures(record, scores))
    finished = {record.trial for record in sweep.records}
    return Measured(
        sweep=sweep,
        trials=pd.DataFrame(
            scored,
            columns=[*_PLACE, *_COUNTS, *SCORES],
        ),
        failed=pd.DataFrame(failed, columns=["set", "method", "shots", "split", "cause", "detail"]),
        unfinished=[trial for trial in sweep.planned if trial not in finished],
        confusions=confusions,
        outcomes=outcomes,
        by_class=by_class,
        overlap=measured_overlap([keys.tolist() for keys in tests.values()]),
        tested=len(images.numbers),
        majority=_majority(confusions),
    )


def temperature(record: Record, predictions: Predictions) -> float | None:
    """What the trial's logits are to be divided by to be calibrated, or None where its method chose nothing.

    In older records, which don't name the training images, the same entry meant something else.
    """
    chosen = record.chosen.get("temperature")
    if not isinstance(chosen, int | float) or not math.isfinite(chosen) or chosen <= 0 or not len(predictions.train):
        return None
    return float(chosen)


class _ImageNumbers:
    """A number for every test image, in the order in which they are met. The trials of a split share their images."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.last: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, split: int, keys: np.ndarray) -> np.ndarray:
        """The numbers (n,) of the test images `keys` (n,)."""
        known = self.last.get(split)
        if known is None or not np.array_equal(known[0], keys):
            numbers = [self.numbers.setdefault(key, len(self.numbers)) for key in keys.tolist()]
            known = self.last[split] = keys, np.array(numbers, np.int64)
        return known[1]


def _measures(record: Record, scores: metrics.Scores) -> dict[str, Any]:
    counts = (record.model, record.train_images, record.synthetic_images, int(scores.confusion.sum()))
    return dict(zip(_COUNTS, counts, strict=True)) | {name: getattr(scores, name) for name in SCORES}


def _majority(confusions: dict[Cell, np.ndarray]) -> float:
    if not confusions:
        return float("nan")
    tested = np.sum([counts.sum(axis=1) for counts in confusions.values()], axis=0)
    return float(tested.max() / tested.sum())


def _check_classes(scores: metrics.Scores, sweep: Sweep) -> None:
    if len(scores.confusion) != len(sweep.classes):
        raise metrics.UnusablePredictionsError(f"{len(scores.confusion)} classes, the sweep has {len(sweep.classes)}")


def _ordered(sweep: Sweep) -> list[Record]:
    """By cell, then split: sums of floats depend on their order, and the tables must not."""
    place = {cell: index for index, cell in enumerate(_cells(sweep))}
    return sorted(
        sweep.records,
        key=lambda record: (place[Cell(record.trial.set, record.trial.method, record.trial.shots)], record.trial.split),
    )


def _cells(sweep: Sweep) -> list[Cell]:
    present = {Cell(trial.set, trial.method, trial.shots) for trial in sweep.planned}
    bases = _rank(dict.fromkeys(composition(name).base for name in sweep.settings.get("sets", {})))
    methods = _rank(sweep.settings.get("methods", []))

    def place(cell: Cell) -> tuple[Any, ...]:
        made_of = composition(cell.set)
        base = (made_of.alone, bases.get(made_of.base, len(bases)), made_of.base)
        method = (methods.get(cell.method, len(methods)), cell.method)
        return (*base, made_of.kind, made_of.amount, *method, cell.shots)

    return sorted(present, key=place)


def _rank(names: Any) -> dict[str, int]:
    """Names in the order in which the sweep gives them (a list, or the keys of a mapping) -> their place."""
    return {name: index for index, name in enumerate(names)}
