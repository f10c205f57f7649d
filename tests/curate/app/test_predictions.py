"""What a sweep says of each image, read from what fewshot wrote."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.app import predictions
from curate.foundation import atomic
from curate.foundation.errors import UsageError
from fewshot.measuring.tables import to_csv
from fewshot.reporting import influence
from fewshot.trials import records
from fewshot.trials.records import Predictions, Record, Trial

CLASSES = ["arch", "boat", "tree"]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    atomic.write_json(tmp_path / "sweep.json", {"format": 1, "classes": CLASSES, "trials": []})
    return tmp_path


def store(sweep: Path, trial: Trial, said: dict[str, tuple[str, str]]) -> None:
    """said: by key, what the image is and what it was called."""
    labels, called = (np.array([CLASSES.index(pair[i]) for pair in said.values()]) for i in (0, 1))
    logits = np.eye(len(CLASSES), dtype=np.float32)[called]
    told = Predictions(logits, labels.astype(np.int64), np.array(list(said)))
    records.write(sweep, Record(trial, "done", "lite0"), told)


def test_shares_are_of_the_splits_in_which_an_image_was_tested(sweep: Path) -> None:
    store(sweep, Trial("filtered", "probe", 6, 0), {"a/1": ("arch", "boat"), "b/1": ("boat", "boat")})
    store(sweep, Trial("filtered", "probe", 6, 1), {"a/1": ("arch", "tree"), "t/1": ("tree", "arch")})
    store(sweep, Trial("filtered", "probe", 6, 2), {"a/1": ("arch", "tree"), "t/1": ("tree", "tree")})
    store(sweep, Trial("filtered", "probe", 6, 3), {"a/1": ("arch", "arch")})
    rows = list(predictions.read(sweep).itertuples(index=False, name=None))
    assert rows == [("a/1", 4, 0.75, "tree"), ("b/1", 1, 0.0, ""), ("t/1", 2, 0.5, "arch")]


def test_of_equal_confusions_the_first_by_name_is_usual(sweep: Path) -> None:
    for split, called in enumerate(("tree", "boat")):
        store(sweep, Trial("filtered", "probe", 6, split), {"a/1": ("arch", called)})
    assert predictions.read(sweep)["confused_with"].tolist() == ["boat"]


def test_the_best_cell_of_those_with_most_splits_is_read(sweep: Path) -> None:
    wrong, right = {"a/1": ("arch", "boat")}, {"a/1": ("arch", "arch")}
    for split in range(2):
        store(sweep, Trial("filtered", "probe", 6, split), wrong)
        store(sweep, Trial("filtered", "finetune", 20, split), right)
    store(sweep, Trial("unfiltered", "probe", 43, 0), wrong)
    assert predictions.read(sweep)["wrong_share"].tolist() == [0.0]


def test_trials_that_failed_or_are_not_whole_do_not_count(sweep: Path) -> None:
    store(sweep, Trial("filtered", "probe", 6, 0), {"a/1": ("arch", "arch")})
    store(sweep, Trial("filtered", "probe", 6, 1), {"a/1": ("arch", "boat")})
    records.trial_file(sweep, Trial("filtered", "probe", 6, 1), ".npz").write_bytes(b"cut off")
    records.write(sweep, Record(Trial("filtered", "probe", 6, 2), "failed", "lite0", "diverged"), None)
    assert predictions.read(sweep)["tested"].tolist() == [1]


def test_what_is_no_sweep_or_an_empty_one_is_said(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no finished trial yet"):
        predictions.read(sweep)
    with pytest.raises(UsageError, match="is not a sweep"):
        predictions.read(tmp_path / "nothing")


def test_influence_is_read_from_a_report(sweep: Path) -> None:
    store(sweep, Trial("filtered", "probe", 6, 0), dict.fromkeys(("a/1", "a/2", "a/3"), ("arch", "boat")))
    assert "influence" not in predictions.read(sweep)
    lines = ["key,label,shrunk_points,q_value", "a/1,arch,-3.5,0.01", "a/2,arch,,", "elsewhere,arch,1,1"]
    (sweep / "influence.csv").write_text("\n".join(lines))
    told = predictions.read(sweep)[["key", "influence", "influence_q"]]
    assert list(told.itertuples(index=False, name=None)) == [
        ("a/1", -3.5, 0.01),
        ("a/2", None, None),
        ("a/3", None, None),
    ]
    (sweep / "influence.csv").write_text("key;label")
    with pytest.raises(UsageError, match=r"influence.csv can't be read; write it again with fewshot report"):
        predictions.read(sweep)


def test_a_reports_own_table_is_understood(sweep: Path) -> None:
    table = pd.DataFrame([dict.fromkeys(influence.COLUMNS, 0.5) | {"key": "a/1"}])
    store(sweep, Trial("filtered", "probe", 6, 0), {"a/1": ("arch", "boat")})
    (sweep / "influence.csv").write_bytes(to_csv(table))
    assert predictions.read(sweep)["influence"].tolist() == [0.5]
