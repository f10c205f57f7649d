"""What a sweep says of each image, read from sweeps that fewshot ran."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.app import predictions
from curate.app.dataset import build
from curate.collection.directory import Collection
from curate.foundation import atomic
from curate.foundation.errors import UsageError
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial
from fewshot.measuring.tables import to_csv

CLASSES = ["arch", "boat", "tree"]
PROBE, MEAN, ZERO = ("linear-probe", 2), ("nearest-class-mean", 2), ("zero-shot", 0)


@pytest.fixture
def sweep(swept: tuple[Collection, Path], tmp_path: Path) -> Path:
    """The sweep as it was run and reported."""
    return Path(shutil.copytree(swept[1], tmp_path / "sweep"))


@pytest.fixture
def planned(sweep: Path) -> Path:
    """The sweep as it is before the first trial has ended, and without a report."""
    shutil.rmtree(sweep / "trials")
    (sweep / "influence.csv").unlink()
    return sweep


def store(sweep: Path, cell: tuple[str, int], split: int, said: dict[str, tuple[str, str]]) -> Trial:
    """Let a trial of the grid end. said: by key, what the image is and what it was called."""
    labels, called = (np.array([CLASSES.index(pair[i]) for pair in said.values()]) for i in (0, 1))
    logits = np.eye(len(CLASSES), dtype=np.float32)[called]
    trial = Trial("unfiltered", *cell, split)
    told = Predictions(logits, labels.astype(np.int64), np.array(list(said)))
    records.write(sweep, Record(trial, "done", "tiny/random"), told)
    return trial


@pytest.mark.slow
def test_of_a_sweep_that_was_run_it_says_what_the_most_accurate_of_its_cells_said(sweep: Path) -> None:
    found = records.read_sweep(sweep)
    assert len(found.records) == 36
    said: dict[tuple[str, int], list[Predictions]] = {}
    for record in found.records:
        cell = said.setdefault((record.trial.method, record.trial.shots), [])
        cell.append(records.read_predictions(sweep, record.trial))
    right = {
        cell: np.mean([np.mean(each.labels == each.logits.argmax(axis=1)) for each in trials])
        for cell, trials in said.items()
    }
    best = said[max(sorted(right), key=lambda cell: right[cell])]
    tested = Counter(key for each in best for key in each.keys)
    wrong = Counter(key for each in best for key in each.keys[each.labels != each.logits.argmax(axis=1)])
    told = predictions.read(sweep)
    assert dict(zip(told["key"], told["tested"], strict=True)) == tested
    assert dict(zip(told["key"], told["wrong_share"], strict=True)) == {key: wrong[key] / tested[key] for key in tested}
    assert ((told["confused_with"] != "") == (told["wrong_share"] > 0)).all()


@pytest.mark.slow
def test_influence_is_what_the_report_of_the_sweep_says(sweep: Path) -> None:
    table = pd.read_csv(sweep / "influence.csv").set_index("key")
    known = table.dropna(subset=["shrunk_points", "q_value"])
    assert len(known) > 5
    told = predictions.read(sweep).set_index("key")
    for key, row in known.iterrows():
        assert (told["influence"][str(key)], told["influence_q"][str(key)]) == (row["shrunk_points"], row["q_value"])
    assert told.loc[~told.index.isin(known.index), "influence"].isna().all()


@pytest.mark.parametrize("key", ["=1+1/a.jpg", "-a.jpg", "NA", "a\x1b\n.jpg", "'=a.jpg"])
def test_influence_is_found_by_the_key_that_a_report_wrote(key: str, tmp_path: Path) -> None:
    written = pd.DataFrame({"key": [key], "shrunk_points": [-0.5], "q_value": [0.25]})
    (tmp_path / "influence.csv").write_bytes(to_csv(written))
    told = predictions._with_influence(pd.DataFrame({"key": [key]}), tmp_path / "influence.csv")
    assert told.to_dict("records") == [{"key": key, "influence": -0.5, "influence_q": 0.25}]


@pytest.mark.slow
@pytest.mark.app
@pytest.mark.usefixtures("fiftyone_database")
def test_the_dataset_has_what_a_sweep_that_was_run_says(swept: tuple[Collection, Path], sweep: Path) -> None:
    told = predictions.read(sweep)
    dataset = build(swept[0], predictions=told)
    for column in ("tested", "wrong_share", "confused_with", "influence", "influence_q"):
        shown = dict(zip(*dataset.values(["key", column]), strict=True))
        assert {key: shown[key] for key in told["key"]} == dict(zip(told["key"], told[column].tolist(), strict=True))


@pytest.mark.slow
def test_shares_are_of_the_splits_in_which_an_image_was_tested(planned: Path) -> None:
    store(planned, PROBE, 0, {"a/1": ("arch", "boat"), "b/1": ("boat", "boat")})
    store(planned, PROBE, 1, {"a/1": ("arch", "tree"), "t/1": ("tree", "arch")})
    store(planned, PROBE, 2, {"a/1": ("arch", "tree"), "t/1": ("tree", "tree")})
    store(planned, PROBE, 3, {"a/1": ("arch", "arch")})
    rows = list(predictions.read(planned).itertuples(index=False, name=None))
    assert rows == [("a/1", 4, 0.75, "tree"), ("b/1", 1, 0.0, ""), ("t/1", 2, 0.5, "arch")]


def test_of_equal_confusions_the_first_by_name_is_usual(planned: Path) -> None:
    for split, called in enumerate(("tree", "boat")):
        store(planned, PROBE, split, {"a/1": ("arch", called)})
    assert predictions.read(planned)["confused_with"].tolist() == ["boat"]


def test_the_best_cell_of_those_with_most_splits_is_read(planned: Path) -> None:
    wrong, right = {"a/1": ("arch", "boat")}, {"a/1": ("arch", "arch")}
    for split in range(2):
        store(planned, PROBE, split, wrong)
        store(planned, MEAN, split, right)
    store(planned, ZERO, 0, wrong)
    assert predictions.read(planned)["wrong_share"].tolist() == [0.0]


def test_trials_that_failed_or_are_not_whole_do_not_count(planned: Path) -> None:
    store(planned, PROBE, 0, {"a/1": ("arch", "arch")})
    cut = store(planned, PROBE, 1, {"a/1": ("arch", "boat")})
    records.trial_file(planned, cut, ".npz").write_bytes(b"cut off")
    records.write(planned, Record(replace(cut, split=2), "failed", "tiny/random", "diverged"), None)
    assert predictions.read(planned)["tested"].tolist() == [1]


def test_what_is_no_sweep_or_an_empty_one_is_said(planned: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no finished trial yet"):
        predictions.read(planned)
    with pytest.raises(UsageError, match="is not a sweep"):
        predictions.read(tmp_path / "nothing")


def test_a_sweep_of_a_newer_fewpose_is_said(sweep: Path) -> None:
    newer = records.read_sweep(sweep).settings | {"format": records.FORMAT + 1}
    atomic.write_json(sweep / "sweep.json", newer)
    with pytest.raises(UsageError, match="was written by a newer fewpose"):
        predictions.read(sweep)


def test_influence_is_none_where_nothing_is_known_of_an_image(planned: Path) -> None:
    store(planned, PROBE, 0, dict.fromkeys(("a/1", "a/2", "a/3"), ("arch", "boat")))
    assert "influence" not in predictions.read(planned)
    lines = ["key,label,shrunk_points,q_value", "a/1,arch,-3.5,0.01", "a/2,arch,,", "elsewhere,arch,1,1"]
    (planned / "influence.csv").write_text("\n".join(lines))
    told = predictions.read(planned)[["key", "influence", "influence_q"]]
    assert list(told.itertuples(index=False, name=None)) == [
        ("a/1", -3.5, 0.01),
        ("a/2", None, None),
        ("a/3", None, None),
    ]
    (planned / "influence.csv").write_text("key;label")
    with pytest.raises(UsageError, match=r"influence.csv can't be read; write it again with fewshot report"):
        predictions.read(planned)
