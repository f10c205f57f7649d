"""The report's tables, from a measured sweep: results, paired differences, confused pairs, images most often wrong.

Every table has a fixed order of rows and no times in it, so the same records give the same bytes.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from curate.foundation import csv_files
from curate.sweeps import records
from fewshot.measuring.bootstrap import Resampled
from fewshot.measuring.measure import SCORES, Cell, Measured
from fewshot.measuring.statistics import Interval, paired, summarize
from fewshot.trials.additions import REAL, composition

RESULTS = (
    *("set", "method", "model", "shots", "n", "mean", "sd", "ci_low", "ci_high"),
    *("balanced_accuracy", "macro_f1", "ece", "failed", "chance"),
    *("ci_corrected_low", "ci_corrected_high", "unfinished", "real_images", "synthetic_images"),
    *("ci_images_low", "ci_images_high", "ece_calibrated"),
)
DIFFERENCES = (
    *("kind", "set", "method", "shots", "a", "b", "n", "mean", "sd", "ci_low", "ci_high"),
    *("ci_corrected_low", "ci_corrected_high", "verdict", "ci_images_low", "ci_images_high"),
)
WRONG = (
    *("set", "method", "shots", "key", "label", "tested", "wrong", "share"),
    *("usual_wrong_class", "usual_wrong_times"),
)
PAIRS = ("a", "b", "a_as_b", "a_tested", "b_as_a", "b_tested", "share")


def results(measured: Measured) -> pd.DataFrame:
    """Accuracy for each set x method x shots (RESULTS): all fractions, `shots` 0 for a method without training images.

    `mean`, `sd` and the intervals are of the accuracy over the splits; the other scores are means, and so are the
    numbers of photographs and of synthetic images that a trial was trained on, of all classes together. `chance` is
    the expected accuracy of guessing every class alike. A cell of which no trial could be scored has n = 0.
    `ci_images_*` is the bootstrap interval over test images, `ece_calibrated` the calibration error with the
    temperatures that were chosen on the draws: empty unless every trial of the cell has one.
    """
    failed = Counter(Cell(row.set, row.method, row.shots) for row in rows_of(measured.failed))
    unfinished = Counter(Cell(trial.set, trial.method, trial.shots) for trial in measured.unfinished)
    rows = []
    for cell in measured.cells:
        trials = of_cell(measured, cell)
        scores = list(trials["accuracy"])
        rows.append(
            {"set": cell.set, "method": cell.method, "shots": cell.shots}
            | {"model": "+".join(sorted(set(trials["model"]))) or measured.sweep.settings.get("model", "")}
            | _columns(summarize(scores), summarize(scores, measured.overlap))
            | {name: trials[name].mean(skipna=False) for name in SCORES if name != "accuracy"}
            | _over_images(measured.resampled.get(cell))
            | {
                "real_images": (trials["train_images"] - trials["synthetic_images"]).mean(),
                "synthetic_images": trials["synthetic_images"].mean(),
            }
            | {"failed": failed[cell], "unfinished": unfinished[cell], "chance": 1 / len(measured.sweep.classes)}
        )
    return pd.DataFrame(rows, columns=list(RESULTS))


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, with a column's value as an attribute."""
    yield from table.itertuples(index=False)


def of_cell(measured: Measured, cell: Cell) -> pd.DataFrame:
    """The scored trials of a cell."""
    trials = measured.trials
    return trials[(trials["set"] == cell.set) & (trials["method"] == cell.method) & (trials["shots"] == cell.shots)]


def differences(measured: Measured) -> pd.DataFrame:
    """Accuracy of a minus accuracy of b on the splits that both have (DIFFERENCES).

    kind "method": methods a and b on one set with the same shots (`method` is ""); one that is never trained is
    compared with the others at each number of shots, and with those that know something before any image at 0.
    kind "set": sets a and b with one method (`set` is ""). kind "addition": a set a with images added, or of synthetic
    images alone, and the set b without them, or with as many photographs more.
    `verdict` is "higher", "lower" or "undecided": whether the corrected interval lies above, below or across 0; where
    there is none (a single test set), the plain one decides; "" with fewer than two common splits.
    """
    accuracies = {
        cell: dict(zip(trials["split"], trials["accuracy"], strict=True))
        for cell, trials in ((cell, of_cell(measured, cell)) for cell in measured.cells)
    }
    rows = []
    for row, a, b in itertools.chain(
        _method_pairs(measured.cells), _set_pairs(measured.cells), _additions(measured.cells)
    ):
        values = accuracies.get(a, {}), accuracies.get(b, {})
        plain, corrected = paired(*values), paired(*values, overlap=measured.overlap)
        of_images = _over_images(_difference(measured, a, b))
        rows.append(row | _columns(plain, corrected) | {"verdict": verdict(plain, corrected)} | of_images)
    return pd.DataFrame(rows, columns=list(DIFFERENCES))


def verdict(plain: Interval, corrected: Interval) -> str:
    """Whether a difference is distinguishable from 0: "higher", "lower", "undecided", or "" where nothing is known."""
    deciding = corrected if corrected.known else plain
    if not deciding.known:
        return ""
    if deciding.low > 0:
        return "higher"
    return "lower" if deciding.high < 0 else "undecided"


def decisive(row: Any) -> tuple[float, float]:
    """The ends of the interval that decided a row's verdict."""
    if math.isnan(row.ci_corrected_low):
        return row.ci_low, row.ci_high
    return row.ci_corrected_low, row.ci_corrected_high


def _columns(plain: Interval, corrected: Interval) -> dict[str, Any]:
    return {
        "n": plain.n,
        "mean": plain.mean,
        "sd": plain.sd,
        "ci_low": plain.low,
        "ci_high": plain.high,
        "ci_corrected_low": corrected.low,
        "ci_corrected_high": corrected.high,
    }


def _difference(measured: Measured, a: Cell, b: Cell) -> Resampled | None:
    resampled = measured.resampled
    return resampled[a].minus(resampled[b]) if a in resampled and b in resampled else None


def _over_images(resampled: Resampled | None) -> dict[str, float]:
    low, high = resampled.interval() if resampled else (math.nan, math.nan)
    return {"ci_images_low": low, "ci_images_high": high}


def _method_pairs(cells: list[Cell]) -> Iterator[tuple[dict[str, Any], Cell, Cell]]:
    """Within each set, by shots: a later method minus an earlier one, so that the plainer comes off."""
    never = untrained(cells)
    for set_ in dict.fromkeys(cell.set for cell in cells):
        of_set = [cell for cell in cells if cell.set == set_]
        trained = {cell.shots for cell in of_set if cell.method not in never}
        for shots in sorted(trained or {0}):
            here = [cell for cell in of_set if cell.shots == shots or (cell.shots == 0 and cell.method in never)]
            for b, a in itertools.combinations(here, 2):
                yield {"kind": "method", "set": set_, "method": "", "shots": shots, "a": a.method, "b": b.method}, a, b


def _set_pairs(cells: list[Cell]) -> Iterator[tuple[dict[str, Any], Cell, Cell]]:
    """Within each method and shots: an earlier set minus a later one ("filtered" minus "unfiltered")."""
    plain = [cell for cell in cells if not composition(cell.set).kind]
    for method, shots in dict.fromkeys((cell.method, cell.shots) for cell in plain):
        here = [cell for cell in plain if (cell.method, cell.shots) == (method, shots)]
        for a, b in itertools.combinations(here, 2):
            yield {"kind": "set", "set": "", "method": method, "shots": shots, "a": a.set, "b": b.set}, a, b


def _additions(cells: list[Cell]) -> Iterator[tuple[dict[str, Any], Cell, Cell]]:
    """Within each method and shots: what is added minus nothing added, and minus as many photographs.

    Synthetic images alone are compared with the photographs at every number of those.
    """
    for a in (cell for cell in cells if composition(cell.set).kind):
        for b in cells:
            if a.method == b.method and b.shots and _comparable(a, b):
                yield (
                    {"kind": "addition", "set": "", "method": b.method, "shots": b.shots, "a": a.set, "b": b.set},
                    a,
                    b,
                )


def _comparable(a: Cell, b: Cell) -> bool:
    with_, without = composition(a.set), composition(b.set)
    if with_.alone:
        return not without.kind
    if (with_.base, a.shots) != (without.base, b.shots):
        return False
    return not without.kind or (with_.synthetic and (without.kind, without.amount) == (REAL, with_.amount))


def untrained(cells: Iterable[Cell]) -> list[str]:
    """The methods that are trained on nothing. Of synthetic images alone, shots are 0 as well."""
    every = list(cells)
    trained = {cell.method for cell in every if cell.shots or composition(cell.set).alone}
    return sorted({cell.method for cell in every} - trained)


def contenders(rows: Iterable[Any]) -> list[Any]:
    """The rows of results that may be called best: those with at least half as many splits as the fullest.

    In an unfinished sweep a cell with one lucky split would lead otherwise.
    """
    scored = [row for row in rows if row.n]
    fullest = max((row.n for row in scored), default=0)
    return [row for row in scored if 2 * row.n >= fullest]


def focus(table: pd.DataFrame) -> Cell | None:
    """The cell whose mistakes are looked at: the highest mean accuracy; None where nothing was scored."""
    best = max(contenders(rows_of(table)), key=lambda row: row.mean, default=None)  # the first of equals
    return Cell(best.set, best.method, best.shots) if best else None


def confused_pairs(confusion: np.ndarray, classes: Sequence[Any]) -> pd.DataFrame:
    """Pairs of classes (PAIRS) by how often one is taken for the other, the hardest first.

    `share` is the mean of the two rates (a called b, of all a; b called a, of all b), so that large classes don't lead.
    `a` is the class of the two that is the more often taken for the other.
    """
    tested = confusion.sum(axis=1)
    rates = confusion / np.maximum(tested, 1)[:, None]
    rows = []
    for i, j in itertools.combinations(range(len(classes)), 2):
        if not confusion[i, j] + confusion[j, i]:
            continue
        a, b = (i, j) if rates[i, j] >= rates[j, i] else (j, i)
        rows.append(
            {"a": classes[a], "a_as_b": confusion[a, b], "a_tested": tested[a]}
            | {"b": classes[b], "b_as_a": confusion[b, a], "b_tested": tested[b]}
            | {"share": (rates[a, b] + rates[b, a]) / 2}
        )
    table = pd.DataFrame(rows, columns=list(PAIRS))
    return table.sort_values(["share", "a", "b"], ascending=[False, True, True], ignore_index=True)


def hardest_classes(confusion: np.ndarray, limit: int) -> list[int]:
    """The classes that a matrix of at most `limit` shows: all where they fit, else those of the most confused pairs.

    In the order of the classes, or of the pairs: then the classes of a pair are neighbours.
    """
    if len(confusion) <= limit:
        return list(range(len(confusion)))
    pairs = confused_pairs(confusion, list(range(len(confusion))))
    chosen: dict[int, None] = {}
    for row in rows_of(pairs):
        if len(chosen.keys() | {row.a, row.b}) > limit:
            break
        chosen |= {row.a: None, row.b: None}
    return list(chosen)


def wrong_images(measured: Measured, cell: Cell | None) -> pd.DataFrame:
    """The images that a cell's trials got wrong (WRONG), the most often wrong first.

    The order is that of the lower end of the Wilson 95 % interval of `share` = wrong / tested: 14 wrong of 15
    comes before 1 wrong of 1. `usual_wrong_class` is what it was most often taken for (the first of equals by name).
    """
    if cell is None:
        return pd.DataFrame(columns=list(WRONG))
    tested: Counter[str] = Counter()
    taken_for: dict[str, Counter[str]] = defaultdict(Counter)
    labels: dict[str, str] = {}
    classes = measured.sweep.classes
    for split in of_cell(measured, cell)["split"]:
        predictions = records.read_predictions(measured.sweep.directory, records.Trial(*cell, int(split)))
        for key, label, predicted in zip(
            predictions.keys.tolist(), predictions.labels, predictions.logits.argmax(axis=1), strict=True
        ):
            tested[key] += 1
            if predicted != label:
                labels[key] = classes[label]
                taken_for[key][classes[predicted]] += 1
    rows: list[dict[str, Any]] = []
    for key, names in taken_for.items():
        usual, times = min(names.items(), key=lambda item: (-item[1], item[0]))
        wrong = names.total()
        rows.append(
            {"set": cell.set, "method": cell.method, "shots": cell.shots, "key": key, "label": labels[key]}
            | {"tested": tested[key], "wrong": wrong, "share": wrong / tested[key]}
            | {"usual_wrong_class": usual, "usual_wrong_times": times}
        )
    rows.sort(key=lambda row: (-_wilson_low(row["wrong"], row["tested"]), row["key"]))
    return pd.DataFrame(rows, columns=list(WRONG))


def _wilson_low(wrong: int, tested: int, z: float = 1.96) -> float:
    """The lower end of Wilson's interval for a share: a ranking that a single unlucky test doesn't lead."""
    share = wrong / tested
    middle = share + z * z / (2 * tested)
    return (middle - z * math.sqrt(share * (1 - share) / tested + z * z / (4 * tested**2))) / (1 + z * z / tested)


def to_csv(table: pd.DataFrame) -> bytes:
    """CSV with six decimals, "" for what isn't known, and Unix line ends; texts stand as `csv_files` has them."""
    columns = {str(name): column for name, column in table.items() if not is_numeric_dtype(column.dtype)}
    texts = {name: column.map(csv_files.cell) for name, column in columns.items()}
    written = table.assign(**texts).to_csv(index=False, float_format="%.6f", na_rep="", lineterminator="\n")
    return written.encode()
