"""explained.json is believed where it is whole and of the record that is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.foundation import atomic
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial
from fewshot.trials.explained import FILE, FOLDER, Mistake, Shown, read_shown

TRIAL = Trial("unfiltered", "linear-probe", 5, 0)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A record, and what was shown of it."""
    predictions = Predictions(np.eye(3, dtype=np.float32), np.array([0, 2, 1]), np.array(["a/1", "b/1", "b/2"]))
    records.write(tmp_path, Record(TRIAL, "done", "lite0"), predictions)
    record = records.read(tmp_path, TRIAL)
    assert record is not None
    mistakes = (Mistake("b/1", "c", "b", 0.58, "00.png"), Mistake("b/2", "b", "c", 0.5, "01.png"))
    atomic.write_json(
        tmp_path / FOLDER / FILE, Shown(TRIAL, record.predictions_sha256, mistakes, agreed=3, tested=3).to_json()
    )
    return tmp_path


def change(sweep: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    file = sweep / FOLDER / FILE
    told = json.loads(file.read_text())
    how(told)
    file.write_text(json.dumps(told))


def test_what_was_written_is_read(sweep: Path) -> None:
    shown = read_shown(sweep)
    assert shown is not None
    assert shown.trial == TRIAL
    assert [each.key for each in shown.mistakes] == ["b/1", "b/2"]
    assert json.loads(json.dumps(shown.to_json())) == json.loads((sweep / FOLDER / FILE).read_text())


@pytest.mark.parametrize(
    "how",
    [
        lambda told: told.update(format=2),
        lambda told: told.pop("trial"),
        lambda told: told["trial"].update(split=1),
        lambda told: told.update(predictions_sha256="0" * 64),
        lambda told: told.update(mistakes=[{"key": "a"}]),
        lambda told: told.update(mistakes=7),
        lambda told: told["mistakes"][0].update(file="../../secret.png"),
        lambda told: told["mistakes"][0].update(file="/etc/hostname"),
        lambda told: told["mistakes"][0].update(file=3),
    ],
    ids=["format", "no trial", "no record", "other record", "fields", "kind", "above", "elsewhere", "no name"],
)
def test_what_makes_no_sense_or_is_of_another_record_is_nothing(sweep: Path, how: Callable[..., Any]) -> None:
    change(sweep, how)
    assert read_shown(sweep) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_nothing(sweep: Path, content: bytes) -> None:
    (sweep / FOLDER / FILE).write_bytes(content)
    assert read_shown(sweep) is None


def test_a_trial_that_was_run_again_to_another_end_is_not_shown(sweep: Path) -> None:
    predictions = Predictions(-np.eye(3, dtype=np.float32), np.array([0, 2, 1]), np.array(["a/1", "b/1", "b/2"]))
    records.write(sweep, Record(TRIAL, "done", "lite0"), predictions)
    assert read_shown(sweep) is None
