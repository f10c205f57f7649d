"""The tables from a small sweep whose every number can be checked by hand."""

import io
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from rich.console import Console

from curate.foundation import atomic
from curate.foundation.errors import FewposeError
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Sweep, Trial, read_sweep
from fewshot.measuring import tables
from fewshot.measuring.measure import Cell, measure
from fewshot.measuring.statistics import summarize
from fewshot.reporting import terminal_table, write_report

CLASSES = ["a", "b", "c", "d"]
SHOTS = {"zero-shot": [0], "linear-probe": [6, 20, 43], "finetune": [6, 20, 43]}
SETS = ["filtered", "unfiltered"]
SPLITS = 3
# So many of a split's ten test images are right on "unfiltered", by split; "filtered" has one more in split 0.
RIGHT = {
    ("zero-shot", 0): (2, 3, 4),
    ("linear-probe", 6): (5, 6, 7),
    ("linear-probe", 20): (6, 6, 6),
    ("linear-probe", 43): (7, 8, 9),
    ("finetune", 6): (4, 6, 8),
    ("finetune", 20): (8, 8, 9),
    ("finetune", 43): (8, 9, 9),
}
FAILED = Trial("filtered", "finetune", 43, 1)
MISSING = Trial("unfiltered", "finetune", 20, 2)
TRIALS = [
    Trial(set_, method, shots, split)
    for set_ in SETS
    for method in SHOTS
    for shots in SHOTS[method]
    for split in range(SPLITS)
]


def predictions(trial: Trial, right: int) -> Predictions:
    """Ten images, numbers 0 to 9, 4 to 13, 8 to 17 by split; all but the first `right` are taken for the next class."""
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    called = np.where(np.arange(10) < right, labels, (labels + 1) % 4)
    keys = np.array([f"{CLASSES[label]}/{place + 4 * trial.split}.jpg" for place, label in enumerate(labels)])
    return Predictions(np.eye(4, dtype=np.float32)[called] * 5, labels, keys)


def write_sweep(directory: Path, order: list[Trial] = TRIALS) -> Path:
    for trial in order:
        if trial == MISSING:
            continue
        if trial == FAILED:
            records.write(
                directory, Record(trial, "failed", "lite0", cause="diverged", detail="The loss is NaN."), None
            )
            continue
        right = RIGHT[trial.method, trial.shots][trial.split] + (trial.set == "filtered" and trial.split == 0)
        records.write(
            directory, Record(trial, "done", "lite0", seconds={"train": random.random()}), predictions(trial, right)
        )
    fields = {"format": 1, "classes": CLASSES, "model": "lite0", "trials": [vars(trial) for trial in TRIALS]}
    atomic.write_json(directory / "sweep.json", fields | {"sets": {name: {} for name in SETS}, "methods": list(SHOTS)})
    return directory


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read_sweep(write_sweep(tmp_path_factory.mktemp("sweep")))


def row(table: pd.DataFrame, **where: Any) -> pd.Series:
    found = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


def test_columns_and_rows_of_the_results(sweep: Sweep) -> None:
    table = tables.results(measure(sweep))
    assert list(table)[:9] == ["set", "method", "model", "shots", "n", "mean", "sd", "ci_low", "ci_high"]
    assert list(table)[9:14] == ["balanced_accuracy", "macro_f1", "ece", "failed", "chance"]
    assert list(zip(table["set"], table["method"], table["shots"], strict=True)) == [
        (set_, method, shots) for set_ in SETS for method in SHOTS for shots in SHOTS[method]
    ]
    assert set(table["model"]) == {"lite0"} and set(table["chance"]) == {0.25}


def test_results_by_hand(sweep: Sweep) -> None:
    table = tables.results(measure(sweep))
    found = row(table, set="unfiltered", method="linear-probe", shots=6)
    half = scipy.stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert (found["n"], found["failed"], found["unfinished"]) == (3, 0, 0)
    assert (found["mean"], found["sd"]) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(0.6 - half), pytest.approx(0.6 + half))
    filtered = row(table, set="filtered", method="linear-probe", shots=6)
    assert filtered["mean"] == pytest.approx((0.6 + 0.6 + 0.7) / 3)


def test_failed_and_unfinished_trials_count_in_no_mean(sweep: Sweep) -> None:
    table = tables.results(measure(sweep))
    failed = row(table, set="filtered", method="finetune", shots=43)
    assert (failed["n"], failed["failed"], failed["unfinished"]) == (2, 1, 0)
    assert failed["mean"] == pytest.approx((0.9 + 0.9) / 2)
    missing = row(table, set="unfiltered", method="finetune", shots=20)
    assert (missing["n"], missing["failed"], missing["unfinished"], missing["mean"]) == (2, 0, 1, pytest.approx(0.8))


def test_overlap_is_measured_and_widens_the_corrected_interval(sweep: Sweep) -> None:
    measured = measure(sweep)
    assert measured.overlap == pytest.approx((6 + 6 + 2) / 3 / 10)  # images common to splits 0 and 1, 1 and 2, 0 and 2
    found = row(tables.results(measured), set="unfiltered", method="linear-probe", shots=6)
    factor = math.sqrt(1 + 3 * measured.overlap / (1 - measured.overlap))
    plain, corrected = found["ci_high"] - found["mean"], found["ci_corrected_high"] - found["mean"]
    assert corrected == pytest.approx(factor * plain)


def test_methods_are_compared_within_set_and_shots(sweep: Sweep) -> None:
    table = tables.differences(measure(sweep))
    found = row(table, kind="method", set="unfiltered", shots=6, a="finetune", b="linear-probe")
    assert (found["n"], found["mean"], found["sd"]) == (3, pytest.approx(0.0), pytest.approx(0.1))
    assert found["verdict"] == "undecided"
    assert row(table, kind="method", set="filtered", shots=43, a="finetune", b="linear-probe")["n"] == 2  # one failed


def test_a_method_without_training_images_is_compared_at_every_number(sweep: Sweep) -> None:
    table = tables.differences(measure(sweep))
    for shots, mean in ((6, 0.3), (20, 0.3), (43, 0.5)):
        found = row(table, kind="method", set="unfiltered", shots=shots, a="linear-probe", b="zero-shot")
        assert found["mean"] == pytest.approx(mean)
    assert row(table, kind="method", set="unfiltered", shots=43, a="linear-probe", b="zero-shot")["verdict"] == "higher"


def test_sets_are_compared_within_method_and_shots(sweep: Sweep) -> None:
    table = tables.differences(measure(sweep))
    found = row(table, kind="set", method="linear-probe", shots=20, a="filtered", b="unfiltered")
    assert (found["n"], found["mean"], found["sd"]) == (3, pytest.approx(0.1 / 3), pytest.approx(0.1 / math.sqrt(3)))
    assert (table["kind"] == "set").sum() == 7


def test_no_difference_at_all_is_undecided_not_significant(tmp_path: Path) -> None:
    nothing, certain = summarize([0.0, 0.0]), summarize([0.1, 0.1])
    assert tables.verdict(nothing, nothing) == "undecided"
    assert tables.verdict(certain, certain) == "higher"
    assert tables.verdict(summarize([0.1]), summarize([0.1])) == ""


def test_the_corrected_interval_decides_where_there_is_one() -> None:
    values = [0.1, 0.2, 0.15, 0.05]
    plain, corrected, none = (summarize(values, overlap) for overlap in (0.0, 0.8, 1.0))
    assert plain.low > 0 > corrected.low
    assert tables.verdict(plain, corrected) == "undecided"
    assert tables.verdict(plain, none) == "higher"


def test_confused_pairs_by_hand() -> None:
    confusion = np.array([[8, 2, 0], [5, 95, 0], [0, 0, 0]])
    table = tables.confused_pairs(confusion, ["x", "y", "z"])
    assert len(table) == 1  # never mixed up, or never tested: no pair
    found = table.iloc[0]
    assert (found["a"], found["b"]) == ("x", "y")
    assert (found["a_as_b"], found["a_tested"], found["b_as_a"], found["b_tested"]) == (2, 10, 5, 100)
    assert found["share"] == pytest.approx((0.2 + 0.05) / 2)


def test_a_small_matrix_shows_all_classes_a_large_one_those_of_the_hardest_pairs() -> None:
    confusion = np.diag([10] * 30)
    confusion[[3, 20, 7], [25, 21, 3]] = [9, 5, 1]
    assert tables.hardest_classes(confusion[:5, :5], 20) == [0, 1, 2, 3, 4]
    assert tables.hardest_classes(confusion, 4) == [3, 25, 20, 21]
    assert tables.hardest_classes(confusion, 20) == [3, 25, 20, 21, 7]


def test_wrong_images_by_hand(sweep: Sweep) -> None:
    table = tables.wrong_images(measure(sweep), Cell("unfiltered", "finetune", 6))
    # Wrong are numbers 4 to 9 in split 0, 10 to 13 in split 1, 16 and 17 in split 2.
    assert table["wrong"].sum() == 6 + 4 + 2
    found = row(table, key="a/8.jpg")  # tested in all three, wrong in split 0
    assert (found["label"], found["usual_wrong_class"], found["usual_wrong_times"]) == ("a", "b", 1)
    assert (found["tested"], found["wrong"], found["share"]) == (3, 1, pytest.approx(1 / 3))
    assert list(table["key"][:2]) == ["a/16.jpg", "b/17.jpg"]  # wrong in their only test
    assert list(table)[:8] == ["set", "method", "shots", "key", "label", "tested", "wrong", "share"]


def test_many_tests_lead_few() -> None:
    assert tables._wilson_low(14, 15) > tables._wilson_low(1, 1)
    assert tables._wilson_low(10, 10) > tables._wilson_low(12, 20)
    low = scipy.stats.binomtest(14, 15).proportion_ci(0.95, method="wilson").low
    assert tables._wilson_low(14, 15) == pytest.approx(low, abs=1e-4)


def test_a_cell_with_few_splits_is_not_called_the_best(sweep: Sweep) -> None:
    table = tables.results(measure(sweep))
    assert tables.focus(table) == Cell("filtered", "finetune", 43)  # 2 of 3 splits
    table.loc[table["mean"].idxmax(), "n"] = 1
    assert tables.focus(table) == Cell("filtered", "finetune", 20)
    assert tables.focus(table.assign(n=0)) is None


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_in_any_order(tmp_path: Path, sweep: Sweep) -> None:
    shuffled = random.Random(1).sample(TRIALS, len(TRIALS))
    first, second = (
        write_report(write_sweep(tmp_path / name, order)) for name, order in (("a", TRIALS), ("b", shuffled))
    )
    assert first.csv.keys() == second.csv.keys() >= {"results", "differences", "wrong"}
    assert all(first.csv[name].read_bytes() == second.csv[name].read_bytes() for name in first.csv)
    assert first.markdown.read_bytes() == second.markdown.read_bytes()
    turned = Sweep(sweep.directory, sweep.settings, sweep.records[::-1])
    assert tables.to_csv(tables.results(measure(turned))) == first.csv["results"].read_bytes()


@pytest.mark.slow
def test_csv_has_six_decimals_and_nothing_for_what_is_unknown(sweep: Sweep, tmp_path: Path) -> None:
    files = write_report(sweep.directory, tmp_path / "out")
    lines = files.csv["results"].read_text().splitlines()
    assert lines[0].startswith(
        "set,method,model,shots,n,mean,sd,ci_low,ci_high,balanced_accuracy,macro_f1,ece,failed,chance"
    )
    assert "unfiltered,linear-probe,lite0,6,3,0.600000,0.100000,0.351586,0.848414," in files.csv["results"].read_text()
    assert b"\r" not in files.csv["results"].read_bytes()
    again = pd.read_csv(files.csv["differences"])
    assert len(again) == 2 * 3 * 3 + 7
    assert not (sweep.directory / "results.csv").exists()


def test_an_unscorable_trial_is_a_failed_one(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    trial = Trial("filtered", "linear-probe", 6, 0)
    broken = predictions(trial, 5)
    broken.logits[0] = np.nan
    records.write(directory, Record(trial, "done", "lite0"), broken)
    other = Trial("filtered", "linear-probe", 6, 1)
    records.write(
        directory,
        Record(other, "done", "lite0"),
        Predictions(broken.logits[1:, :3] * 0, np.zeros(9, int), broken.keys[1:]),
    )
    measured = measure(read_sweep(directory))
    assert list(measured.failed["cause"]) == ["unusable", "unusable", "diverged"]
    assert "finite" in measured.failed["detail"][0] and "3 classes" in measured.failed["detail"][1]
    assert row(tables.results(measured), set="filtered", method="linear-probe", shots=6)["n"] == 1


def test_one_split_has_no_interval_in_the_csv(tmp_path: Path) -> None:
    trial = Trial("unfiltered", "linear-probe", 6, 0)
    records.write(tmp_path, Record(trial, "done", "lite0"), predictions(trial, 5))
    atomic.write_json(tmp_path / "sweep.json", {"format": 1, "classes": CLASSES, "trials": [vars(trial)]})
    files = write_report(tmp_path)
    assert files.csv["results"].read_text().splitlines()[1].startswith("unfiltered,linear-probe,lite0,6,1,0.500000,,,,")
    assert "–" in render(tmp_path) and "nan" not in render(tmp_path).lower()


def test_a_sweep_without_a_finished_trial_has_a_report(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "sweep.json", {"format": 1, "classes": CLASSES, "trials": [vars(t) for t in TRIALS]})
    files = write_report(tmp_path)
    assert "0 of 42 trials have run" in files.markdown.read_text()
    assert "0 of 42 trials have run" in files.html.read_text()
    assert len(files.csv["results"].read_text().splitlines()) == 1 + 14
    assert len(files.csv["wrong"].read_text().splitlines()) == 1


@pytest.mark.slow
def test_an_official_test_set_has_no_interval_for_new_images(tmp_path: Path) -> None:
    trials = [Trial("unfiltered", method, 6, split) for method in ("linear-probe", "finetune") for split in range(3)]
    for trial in trials:
        same = predictions(Trial(trial.set, trial.method, 6, 0), 5 + trial.split + 2 * (trial.method == "finetune"))
        records.write(tmp_path, Record(trial, "done", "lite0"), same)
    fields = {"format": 1, "classes": CLASSES, "trials": [vars(trial) for trial in trials], "split_kind": "official"}
    atomic.write_json(tmp_path / "sweep.json", fields | {"methods": ["linear-probe", "finetune"], "splits": 3})
    files = write_report(tmp_path)
    assert files.table["ci_low"].notna().all() and files.table["ci_corrected_low"].isna().all()
    assert pd.read_csv(files.csv["differences"])["verdict"].tolist() == ["higher"]
    assert "same test images" in files.html.read_text() and "official test set" in files.html.read_text()


def test_no_sweep_is_said(tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match="is not a sweep"):
        write_report(tmp_path)


def test_an_unreadable_record_is_a_trial_to_come(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    records.trial_file(directory, TRIALS[0], ".npz").write_bytes(b"half")
    assert TRIALS[0] in measure(read_sweep(directory)).unfinished


def render(directory: Path) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=200).print(terminal_table(read_sweep(directory)))
    return buffer.getvalue()


@pytest.mark.slow
def test_terminal_table(sweep: Sweep, tmp_path: Path) -> None:
    shown = render(sweep.directory)
    assert "60.0" in shown and "[35.2, 84.8]" in shown  # brackets aren't taken for markup
    assert "1 failed" in shown and "1 to come" in shown
    shutil.copytree(sweep.directory, tmp_path / "copy")
    buffer = io.StringIO()
    Console(file=buffer, width=200).print(terminal_table(write_report(tmp_path / "copy")))
    assert buffer.getvalue() == shown
