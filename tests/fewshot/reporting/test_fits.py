"""What the report says of fitted curves, single classes and calibration, from sweeps whose numbers are planted."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.foundation import atomic, json_files
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial, read_sweep
from fewshot.measuring import fitted_curve, metrics, per_class, tables
from fewshot.measuring.measure import Cell, measure
from fewshot.reporting import write_report
from fewshot.reporting.sections import calibration, classes, needed_images
from fewshot.reporting.sections.content import Content

CLASSES = ["a", "b", "c", "d"]
IMAGES = 50  # of each class in each test set, half of a class's images
FOCUS = Cell("unfiltered", "linear-probe", 40)


def write_sweep(
    directory: Path,
    right: dict[Trial, list[int]],
    temperature: object = None,
    sharpness: float = 4.0,
    train: bool = True,
) -> Path:
    """A sweep in which, of each class's 50 test images, so many are right: right[trial][class]."""
    for trial, counts in right.items():
        labels = np.repeat(np.arange(len(CLASSES)), IMAGES)
        place = np.tile(np.arange(IMAGES), len(CLASSES))
        called = np.where(place < np.array(counts)[labels], labels, (labels + 1) % len(CLASSES))
        logits = np.eye(len(CLASSES), dtype=np.float32)[called] * sharpness
        number = (place + 7 * trial.split) % (2 * IMAGES)
        keys = np.array([f"{CLASSES[label]}/{i}.jpg" for label, i in zip(labels, number, strict=True)])
        chosen = {} if temperature is None else {"temperature": temperature}
        trained = np.array(["a/t.jpg"]) if train else np.zeros(0, "U1")
        records.write(
            directory, Record(trial, "done", "lite0", chosen=chosen), Predictions(logits, labels, keys, trained)
        )
    methods = list(dict.fromkeys(trial.method for trial in right))
    fields = {"format": 1, "classes": CLASSES, "model": "lite0", "trials": [vars(trial) for trial in right]}
    atomic.write_json(directory / "sweep.json", fields | {"sets": {"unfiltered": {}}, "methods": methods})
    return directory


def trials(shots: int, splits: int) -> list[Trial]:
    return [Trial("unfiltered", "linear-probe", shots, split) for split in range(splits)]


def rising(splits: int = 4, numbers: tuple[int, ...] = (5, 10, 20, 40)) -> dict[Trial, list[int]]:
    """Accuracy 1 - N^-0.6 or so, the same in every split but for one image."""
    counts = {n: round(IMAGES * (1 - n**-0.6)) for n in numbers}
    return {t: [counts[n] - t.split % 2] * 4 for n in numbers for t in trials(n, splits)}


def content(directory: Path, right: dict[Trial, list[int]], temperature: object = None) -> Content:
    return Content.of(read_sweep(write_sweep(directory, right, temperature)))


def of_target(table: pd.DataFrame, target: str) -> pd.Series:
    return table[table["target"] == target].iloc[0]


# ---- fitted curves ----------------------------------------------------------------------------------------------


def test_the_table_of_curves(tmp_path: Path) -> None:
    table = fitted_curve.table(fitted_curve.fitted_curves(measure(read_sweep(write_sweep(tmp_path, rising())))))
    assert list(table) == list(fitted_curve.CURVES) and len(table) == 3
    near, ninety = of_target(table, "largest - 1 point"), of_target(table, "90 %")
    assert (near["points"], near["n"], near["smallest"], near["largest"], near["doubled"]) == (4, 4, 5, 40, 80)
    assert 28 < near["images"] < 40 and near["extrapolated"] == 0
    law = near["a"] - near["b"] * ninety["images"] ** -near["c"]
    assert law >= 0.9 - 1e-6 > near["a"] - near["b"] * (ninety["images"] - 1) ** -near["c"]
    assert near["ci_doubled_low"] <= near["mean_doubled"] <= near["ci_doubled_high"]
    assert near["residual"] < 0.01 and near["warning"] == ""


def test_two_numbers_of_images_have_no_curve_and_three_a_warning(tmp_path: Path) -> None:
    two = needed_images.NeededImages(content(tmp_path / "two", rising(numbers=(5, 20))))
    assert two.content.fitted == [] and two.curves.empty and two.sentence == ""
    three = needed_images.NeededImages(content(tmp_path / "three", rising(numbers=(5, 20, 40))))
    assert set(three.curves["warning"]) == {"three points"}
    assert "within a point of what 40 give" in three.sentence


def row(**changes: Any) -> pd.Series:
    about = {"images": 17.0, "images_low": 15.0, "images_high": 20.0, "extrapolated": 0, "smallest": 6}
    return pd.Series(about | changes)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "17 [15, 20]"),
        ({"extrapolated": 1, "images_high": math.inf}, "17* [15, –]"),
        ({"images": 6.0, "images_low": 6.0, "images_high": 6.0}, "6 or fewer"),
        ({"images": 6.0, "images_low": 6.0, "images_high": 9.0}, "6 [6, 9]"),
        ({"images": 6.0, "images_low": math.nan, "images_high": math.nan}, "6 or fewer"),
        ({"images_low": math.nan, "images_high": math.nan}, "17"),
        ({"images": math.inf, "images_low": math.inf, "images_high": math.inf}, "not reached"),
        ({"images": math.inf, "images_low": math.nan, "images_high": math.nan}, "not reached"),
        ({"images": math.inf, "images_low": 1200.0, "images_high": math.inf}, "not reached [1,200, –]"),
    ],
)
def test_how_what_is_needed_is_written(changes: dict[str, Any], shown: str) -> None:
    assert needed_images.needed(row(**changes)) == shown


def test_a_target_that_the_fewest_images_reach_is_not_extrapolated_downwards(tmp_path: Path) -> None:
    right = {t: [49 - (n == 10) - (t.split % 2) * (n == 20)] * 4 for n in (10, 20, 40) for t in trials(n, 4)}
    table = fitted_curve.table(content(tmp_path, right).fitted)
    assert of_target(table, "90 %")["images"] == 10


# ---- classes ----------------------------------------------------------------------------------------------------


def test_recall_of_each_class_by_hand(tmp_path: Path) -> None:
    right = {t: [40, 30 + 5 * t.split, 50, 0] for t in trials(10, 3)}
    table = per_class.classes(measure(read_sweep(write_sweep(tmp_path, right))))
    assert list(table) == list(per_class.CLASSES)
    b = table[table["class"] == "b"].iloc[0]
    assert (b["n"], b["tested"], b["mean"], b["sd"]) == (3, 150, pytest.approx(0.7), pytest.approx(0.1))
    assert b["ci_low"] < b["mean"] < b["ci_high"]
    assert b["sd_without"] == 0  # all others are the same in every split
    a = table[table["class"] == "a"].iloc[0]
    assert a["sd_without"] == pytest.approx(np.std([80 / 150, 85 / 150, 90 / 150], ddof=1))


def warnings(directory: Path, right: dict[Trial, list[int]]) -> list[str]:
    return classes.Classes(content(directory, right)).warnings


def test_a_class_that_drives_the_spread_is_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wild = {t: [40 + int(random.integers(-2, 3)), 10 + 3 * t.split, 45, 44] for t in trials(10, 12)}
    (said,) = warnings(tmp_path / "wild", wild)
    assert said.startswith("One class drives the spread over splits with 10 images a class: without b the SD")
    few = {trial: counts for trial, counts in wild.items() if trial.split < 9}
    assert warnings(tmp_path / "few", few) == []  # too few splits to say so


@pytest.mark.slow
def test_classes_that_spread_alike_are_not_blamed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(8):
        alike = {t: random.binomial(IMAGES, 0.7, 4).tolist() for t in trials(10, 12)}
        assert warnings(tmp_path / str(number), alike) == []


def test_a_class_that_gains_nothing_is_named(tmp_path: Path) -> None:
    counts = {5: [30, 33, 30, 49], 20: [40, 33, 38, 49], 40: [45, 31, 44, 49]}
    right = {t: [c - t.split % 2 for c in counts[n]] for n in counts for t in trials(n, 4)}
    (said,) = warnings(tmp_path, right)
    assert said == (
        "From 5 to 40 images a class accuracy rises by 13.5 points, but 1 class of 4 gains nothing: "
        "b (−4.0 points [−4.0, −4.0])."
    )


def test_small_curves_are_the_hardest_classes_first(tmp_path: Path) -> None:
    counts = {5: [30, 20, 30, 40], 40: [45, 25, 44, 49]}
    made = content(tmp_path, {t: counts[n] for n in counts for t in trials(n, 3)})
    table = per_class.classes(made.measured)
    curves = classes.class_curves(table, made.results, made.focus, most=3)
    assert [curve["name"] for curve in curves] == ["b", "c", "a"]
    assert "40.0 % with 5; 50.0 % with 40" in curves[0]["picture"]
    assert classes.class_curves(table[table["shots"] == 5], made.results.head(1), made.focus, 3) == []


# ---- calibration ------------------------------------------------------------------------------------------------


def test_calibration_with_and_without_a_temperature(tmp_path: Path) -> None:
    # Right 60 % of the time at a confidence of e^4 / (e^4 + 3) = 94.8 %; at temperature 4/ln(4.5), exactly 60 %.
    right = {t: [30] * 4 for t in trials(40, 3)}
    plain = content(tmp_path / "plain", right)
    confidence = math.exp(4) / (math.exp(4) + 3)
    assert plain.results["ece"][0] == pytest.approx(confidence - 0.6, abs=1e-6)
    assert math.isnan(plain.results["ece_calibrated"][0])
    found = calibration.Calibration(plain).found
    assert found is not None and found.calibrated is None
    assert "No temperature was chosen" in calibration.sentence(found)
    cooled = content(tmp_path / "cooled", right, temperature=4 / math.log(4.5))
    assert cooled.results["ece_calibrated"][0] == pytest.approx(0, abs=1e-6)
    found = calibration.Calibration(cooled).found
    assert found is not None and found.calibrated is not None
    assert found.stated.images.sum() == found.calibrated.images.sum() == 3 * 200
    said = calibration.sentence(found)
    assert "surer than it should be" in said and "2.7, they lie 0.0 points apart" in said
    assert cooled.results["mean"][0] == plain.results["mean"][0]


@pytest.mark.parametrize(("temperature", "train"), [(2.0, False), (0.0, True), ("2", True), (-1.0, True)])
def test_what_is_no_temperature_is_not_divided_by(tmp_path: Path, temperature: object, train: bool) -> None:
    """Records without training keys are older, and meant something else by the word."""
    sweep = write_sweep(tmp_path, {t: [30] * 4 for t in trials(40, 2)}, temperature, train=train)
    assert measure(read_sweep(sweep)).trials["ece_calibrated"].isna().all()


def test_a_cell_of_which_only_some_trials_have_a_temperature_has_no_calibrated_error(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {t: [30] * 4 for t in trials(40, 2)}, temperature=2.0)
    first = read_sweep(sweep).records[0]
    predictions = records.read_predictions(sweep, first.trial)
    records.write(sweep, dataclasses.replace(first, chosen={}), predictions)
    made = Content.of(read_sweep(sweep))
    assert math.isnan(made.results["ece_calibrated"][0])
    found = calibration.Calibration(made).found
    assert found is not None and found.calibrated is None


def test_reliability_counts_every_answer_once() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 2, (500, 5)), random.integers(0, 5, 500)
    bins = metrics.reliability(logits, labels)
    assert bins.images.sum() == 500
    assert bins.right.sum() == (logits.argmax(axis=1) == labels).sum()
    assert bins.error == metrics.calibration_error(logits, labels)
    twice = bins + bins
    assert twice.images.sum() == 1000 and twice.error == pytest.approx(bins.error)
    picture = calibration.reliability_diagram(bins, "title")
    assert picture.count("<circle") == (bins.images > 0).sum()


# ---- intervals over images --------------------------------------------------------------------------------------


def test_intervals_over_images_stand_in_both_tables(tmp_path: Path) -> None:
    better = {t: [40, 40, 40, 40] for t in trials(10, 3)}
    worse = {dataclasses.replace(t, method="finetune"): [35, 35, 35, 35] for t in trials(10, 3)}
    measured = measure(read_sweep(write_sweep(tmp_path, better | worse)))
    results, differences = tables.results(measured), tables.differences(measured)
    assert (results["ci_images_low"] < results["mean"]).all() and (results["mean"] < results["ci_images_high"]).all()
    found = differences.iloc[0]
    assert found["ci_images_low"] < found["mean"] < found["ci_images_high"]
    widths = results["ci_images_high"] - results["ci_images_low"]
    assert found["ci_images_high"] - found["ci_images_low"] < np.hypot(*widths)  # paired on images


def test_one_split_has_an_interval_over_images_and_no_other(tmp_path: Path) -> None:
    found = tables.results(measure(read_sweep(write_sweep(tmp_path, {t: [40] * 4 for t in trials(10, 1)})))).iloc[0]
    assert math.isnan(found["ci_low"]) and math.isnan(found["ci_corrected_low"])
    assert found["ci_images_low"] < 0.8 < found["ci_images_high"]


# ---- the whole report -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_report_and_page_have_the_sections_and_the_same_bytes_again(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", rising(), temperature=2.0)
    files, again = write_report(sweep), write_report(sweep, tmp_path / "again")
    for name in ("results", "differences", "curves", "classes"):
        assert files.csv[name].read_bytes() == again.csv[name].read_bytes()
    assert files.markdown.read_bytes() == again.markdown.read_bytes()
    assert files.html.read_bytes() == again.html.read_bytes()
    page, text = files.html.read_text(), files.markdown.read_text()
    assert all(f'<section id="{name}"' in page for name in ("needed", "classes", "calibration"))
    assert "How many images are needed" in text and "## Calibration" in text
    assert page.count('class="reliability"') == 2 and page.count('class="small"') == 4
    assert 'class="band of-curve' in page
    assert len(pd.read_csv(files.csv["classes"])) == 4 * 4 and len(pd.read_csv(files.csv["curves"])) == 3


@pytest.mark.slow
def test_records_of_an_older_sweep_still_give_a_report(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, rising(), train=False)
    for record in read_sweep(sweep).records:
        new = records.read_predictions(sweep, record.trial)
        file = records.trial_file(sweep, record.trial, ".npz")
        np.savez_compressed(file, logits=new.logits, labels=new.labels, keys=new.keys)
        about = records.trial_file(sweep, record.trial, ".json")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        about.write_text(json.dumps(json_files.read(about) | {"predictions_sha256": digest}))  # they had no checksum
    files = write_report(sweep)
    assert "To get these numbers again" in files.html.read_text() and files.table["n"].min() == 4
