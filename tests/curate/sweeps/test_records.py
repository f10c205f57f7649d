"""A record is read back as it was written, or not at all."""

import contextlib
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial, read, read_predictions, read_sweep, trial_file, write

TRIAL = Trial("unfiltered", "linear-probe", 6, 3)
RECORD = Record(
    TRIAL,
    "done",
    "tiny/random",
    train_images=12,
    test_images=2,
    chosen={"C": 3.2, "power": 1.0},
    settings={"lr": 1e-5},
    digests={"set": "0123456789abcdef"},
    versions={"python": "3.11"},
    seconds={"fit": 0.5},
)
PREDICTIONS = Predictions(
    np.array([[0.5, -1.25], [2, 3]], np.float32), np.array([0, 1]), np.array(["bow/1.jpg", "Ärm's/2.jpg"])
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    write(tmp_path, RECORD, PREDICTIONS)
    return tmp_path


def edit(sweep: Path, **changes: Any) -> None:
    path = trial_file(sweep, TRIAL, ".json")
    path.write_text(json.dumps(json_files.read(path) | changes))


def test_a_record_is_read_as_it_was_written(sweep: Path) -> None:
    found = read(sweep, TRIAL)
    assert found is not None
    assert len(found.predictions_sha256) == 64
    assert dataclasses.replace(found, predictions_sha256="") == RECORD


def test_predictions_are_read_as_they_were_written(sweep: Path) -> None:
    found = read_predictions(sweep, TRIAL)
    np.testing.assert_array_equal(found.logits, PREDICTIONS.logits)
    np.testing.assert_array_equal(found.labels, PREDICTIONS.labels)
    assert found.keys.tolist() == PREDICTIONS.keys.tolist()
    assert found.logits.dtype == np.float32


def test_the_keys_of_training_images_are_kept_and_missing_in_older_records(sweep: Path) -> None:
    assert read_predictions(sweep, TRIAL).train.tolist() == []
    trained = dataclasses.replace(PREDICTIONS, train=np.array(["bow/7.jpg", "Ärm's/8.jpg"]))
    write(sweep, RECORD, trained)
    assert read_predictions(sweep, TRIAL).train.tolist() == ["bow/7.jpg", "Ärm's/8.jpg"]
    with np.load(trial_file(sweep, TRIAL, ".npz")) as arrays:
        old = {name: arrays[name] for name in ("logits", "labels", "keys")}
    np.savez_compressed(trial_file(sweep, TRIAL, ".npz"), **old)
    assert read_predictions(sweep, TRIAL).train.shape == (0,)


def test_a_record_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("in the way")
    with pytest.raises(FewposeError, match=r"can't be written to \(.*\); what is done is kept.*same command goes on"):
        write(tmp_path, RECORD, PREDICTIONS)


def test_a_failed_trial_has_a_cause_and_no_predictions(tmp_path: Path) -> None:
    failed = Record(TRIAL, "failed", "lite0", cause="diverged", detail="the loss is nan")
    write(tmp_path, failed, None)
    assert read(tmp_path, TRIAL) == failed
    assert not trial_file(tmp_path, TRIAL, ".npz").exists()


def test_equal_trials_are_equal_bytes(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write(other, RECORD, PREDICTIONS)
    for suffix in (".json", ".npz"):
        assert trial_file(sweep, TRIAL, suffix).read_bytes() == trial_file(other, TRIAL, suffix).read_bytes()


def test_what_was_not_run_has_no_record(sweep: Path) -> None:
    assert read(sweep, dataclasses.replace(TRIAL, split=4)) is None


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_record_of_which_a_file_is_half_written_or_gone_counts_as_none(sweep: Path, suffix: str) -> None:
    path = trial_file(sweep, TRIAL, suffix)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        assert read(sweep, TRIAL) is None
    path.unlink()
    assert read(sweep, TRIAL) is None


def test_a_record_whose_predictions_were_tampered_with_counts_as_none(sweep: Path) -> None:
    other = dataclasses.replace(PREDICTIONS, labels=np.array([1, 1]))
    trial_file(sweep, TRIAL, ".npz").write_bytes(other.to_bytes())
    assert read(sweep, TRIAL) is None


def test_the_files_of_another_trial_are_not_taken_for_this_one(sweep: Path) -> None:
    other = dataclasses.replace(TRIAL, split=4)
    for suffix in (".json", ".npz"):
        trial_file(sweep, other, suffix).write_bytes(trial_file(sweep, TRIAL, suffix).read_bytes())
    assert read(sweep, other) is None
    assert read(sweep, TRIAL) is not None


@pytest.mark.parametrize("content", ["null", "7", "[]", '"text"', "{}", '{"format": "1"}', '{"format": 1, "trial": 3}'])
def test_json_that_is_no_record_counts_as_none(sweep: Path, content: str) -> None:
    trial_file(sweep, TRIAL, ".json").write_text(content)
    assert read(sweep, TRIAL) is None


def test_a_record_with_fields_of_another_kind_counts_as_none(sweep: Path) -> None:
    edit(sweep, surprise=1)
    assert read(sweep, TRIAL) is None


@pytest.mark.slow
def test_a_record_with_any_flipped_bit_counts_as_none_or_says_the_same(sweep: Path) -> None:
    path, told = trial_file(sweep, TRIAL, ".json"), read(sweep, TRIAL)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with contextlib.suppress(FewposeError):  # "written by a newer fewpose"
            assert read(sweep, TRIAL) in (None, told), place


def test_a_newer_record_is_refused_rather_than_run_again(sweep: Path) -> None:
    edit(sweep, format=records.FORMAT + 1)
    with pytest.raises(FewposeError, match="written by a newer fewpose"):
        read(sweep, TRIAL)


class Trap:
    """Says when it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Trap, "sprung", True))


def test_no_pickle_is_opened(sweep: Path) -> None:
    path = trial_file(sweep, TRIAL, ".npz")
    for content in (pickle.dumps(Trap()), dataclasses.replace(PREDICTIONS, keys=np.array([Trap()])).to_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="pickle"):
            read_predictions(sweep, TRIAL)
    assert not Trap.sprung


def test_a_sweep_gives_the_records_of_its_planned_trials(sweep: Path) -> None:
    planned = [TRIAL, dataclasses.replace(TRIAL, split=4)]
    settings = {"format": 1, "classes": ["bow", "cat"], "trials": [vars(trial) for trial in planned]}
    (sweep / "sweep.json").write_text(json.dumps(settings))
    found = read_sweep(sweep)
    assert [record.trial for record in found.records] == [TRIAL]
    assert found.planned == planned
    assert found.classes == ["bow", "cat"]


@pytest.mark.parametrize("content", [None, "{}", '{"format": 1}', '{"format": 1, "trials": [{}]}'])
def test_a_directory_without_a_sweep_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(FewposeError, match="is not a sweep") as caught:
        read_sweep(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "7", "[]", '{"format": 1e999}', '{"format": 1, "checksum": "00000000"}'])
def test_a_damaged_sweep_is_named_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(FewposeError, match=r"sweep\.json is damaged \(.*\); delete it and give the fewshot"):
        read_sweep(tmp_path)


def test_a_damaged_record_of_a_sweep_is_said_and_one_that_was_not_run_is_not(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [TRIAL, dataclasses.replace(TRIAL, split=4)]
    settings = {"format": 1, "classes": ["bow", "cat"], "trials": [vars(trial) for trial in planned]}
    json_files.write(sweep / "sweep.json", settings)
    assert len(read_sweep(sweep).records) == 1
    assert capsys.readouterr().err == ""
    path = trial_file(sweep, TRIAL, ".npz")
    path.write_bytes(path.read_bytes()[:-1])
    assert read_sweep(sweep).records == []
    assert "s003.json or the .npz beside it is damaged: it counts as not run" in capsys.readouterr().err


def test_a_newer_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"format": records.FORMAT + 1, "trials": [{"new": 1}]}))
    with pytest.raises(FewposeError, match="written by a newer fewpose"):
        read_sweep(tmp_path)
