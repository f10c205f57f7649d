"""What a trial leaves behind: a record (JSON) and its predictions (npz), and how a sweep's are read again.

A trial is stored in two files, the predictions first, the record last, each renamed into place: a record exists
only when the trial is whole. Reports are computed from these files alone.

    SWEEP/sweep.json                                     the grid, the classes and their texts, digests
    SWEEP/trials/unfiltered/linear-probe/n06/s003.json   the record
    SWEEP/trials/unfiltered/linear-probe/n06/s003.npz    logits, labels, keys of the test images
"""

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curate.foundation import atomic, console, json_files
from curate.foundation.errors import FewposeError
from curate.foundation.inside import inside

FILE = "sweep.json"

# 1 was without the keys of the training images. 1 and 2 kept only those settings of a method that differed from its
# defaults of then, and no recipe's name. Both are read as before.
FORMAT = 3
WHOLE = 3  # the first format that keeps all settings of a method


@dataclass(frozen=True, order=True)
class Trial:
    """One cell of a sweep's grid. `shots` is 0 for a method that needs no training image."""

    set: str
    method: str
    shots: int
    split: int

    @property
    def path(self) -> str:
        return f"{self.set}/{self.method}/n{self.shots:02d}/s{self.split:03d}"


@dataclass(frozen=True)
class Predictions:
    """What a trial said of its test images: `logits` (n, classes) float32, `labels` (n,) int64, `keys` (n,) str.

    `train`: the keys of the images that it was trained on, (m,) str; none in records from before they were kept.
    """

    logits: np.ndarray
    labels: np.ndarray
    keys: np.ndarray
    train: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="U1"))

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, logits=self.logits, labels=self.labels, keys=self.keys, train=self.train)
        return buffer.getvalue()


STATUSES = ("done", "failed")


@dataclass(frozen=True)
class Record:
    """A finished trial: `status` is "done", or "failed" with a `cause` (one word) and a `detail` (one sentence)."""

    trial: Trial
    status: str
    model: str
    cause: str = ""
    detail: str = ""
    train_images: int = 0  # photographs and synthetic images
    synthetic_images: int = 0
    test_images: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)  # what the method settled on inside the draw, e.g. {"C": 100}
    settings: dict[str, Any] = field(default_factory=dict)  # all of the method's, defaults among them (see WHOLE)
    recipe: str = ""  # of data/recipes.yaml, which they came from; "" where the method takes none, or it isn't known
    method_version: int = 0  # 0: from before it was kept
    digests: dict[str, str] = field(default_factory=dict)  # of the set, split, draw and the starting weights
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=dict)
    predictions_sha256: str = ""


def trial_file(sweep: Path, trial: Trial, suffix: str) -> Path:
    """The file of a trial: its record (.json) or its predictions (.npz). Raises FewposeError as `inside`."""
    return inside(sweep, f"trials/{trial.path}{suffix}")


def write(sweep: Path, record: Record, predictions: Predictions | None) -> None:
    """Store a trial. `predictions` is None for a failed one.

    Raises FewposeError where that can't be done, on a full disk say: the trial then has no record.
    """
    with explaining_write_errors(sweep):
        if predictions is not None:
            content = predictions.to_bytes()
            atomic.write_bytes(trial_file(sweep, record.trial, ".npz"), content)
            record = dataclasses.replace(record, predictions_sha256=hashlib.sha256(content).hexdigest())
        json_files.write(trial_file(sweep, record.trial, ".json"), {"format": FORMAT} | dataclasses.asdict(record))


@contextmanager
def explaining_write_errors(sweep: Path) -> Iterator[None]:
    """Turns an OSError of the block, which writes into `sweep`, into a FewposeError that says what to do."""
    try:
        yield
    except OSError as error:
        raise FewposeError(
            f"{sweep} can't be written to ({error.strerror or error}); what is done is kept: make room or make it "
            "writable, and the same command goes on"
        ) from error


def read(sweep: Path, trial: Trial) -> Record | None:
    """The record of a trial, or None where there is none yet.

    A record that can't be read, or that doesn't match its predictions, counts as none: the trial is run again.
    Raises FewposeError for a record of a newer format.
    """
    try:
        fields = json_files.read(trial_file(sweep, trial, ".json"))
        if fields.pop("format") > FORMAT:
            raise FewposeError(f"{sweep} was written by a newer fewpose; update with pip install -U fewpose")
        record = Record(**fields | {"trial": Trial(**fields["trial"])})
        if record.trial != trial or record.status not in STATUSES:  # the file of another trial, copied here
            return None
        if record.status == "done":
            content = trial_file(sweep, trial, ".npz").read_bytes()
            if hashlib.sha256(content).hexdigest() != record.predictions_sha256:
                return None
        return record
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def read_predictions(sweep: Path, trial: Trial) -> Predictions:
    """The predictions of a trial that has a record. Raises OSError or ValueError where they can't be read."""
    with np.load(trial_file(sweep, trial, ".npz"), allow_pickle=False) as arrays:
        return Predictions(**{name: arrays[name] for name in arrays.files})


@dataclass(frozen=True)
class Sweep:
    """A sweep as it lies on disk: `settings` is the content of sweep.json, `records` those of the finished trials."""

    directory: Path
    settings: dict[str, Any]
    records: list[Record]

    @property
    def classes(self) -> list[str]:
        return list(self.settings["classes"])

    @property
    def planned(self) -> list[Trial]:
        return [Trial(**fields) for fields in self.settings["trials"]]


def tells_all_settings(settings: Mapping[str, Any]) -> bool:
    """Whether a sweep.json holds the defaults of its methods, too, and not only what differed from them."""
    return int(settings.get("format", 0)) >= WHOLE


def require(directory: Path) -> None:
    """Raises FewposeError where there is no sweep."""
    if not (directory / FILE).is_file():
        raise _no_sweep(directory)


def _no_sweep(directory: Path) -> FewposeError:
    return FewposeError(f"{directory} is not a sweep (there is no {FILE}); make one with fewshot sweep")


def read_sweep(directory: Path) -> Sweep:
    """Read a sweep, finished or not. Raises FewposeError where `directory` holds none, or a damaged one."""
    settings = _settings(directory)
    try:
        if json_files.entry(settings, "format", int) > FORMAT:
            raise FewposeError(f"{directory} was written by a newer fewpose; update with pip install -U fewpose")
        planned = [Trial(**fields) for fields in json_files.entry(settings, "trials", list)]
        _check_entries(settings)
    except (json_files.NotJson, TypeError) as error:
        why = f"{FILE} is another program's: {error}"
        raise FewposeError(f"{directory} is not a sweep ({why}); make one with fewshot sweep elsewhere") from error
    found = {trial: read(directory, trial) for trial in planned}
    for trial, record in found.items():
        if record is None and (file := trial_file(directory, trial, ".json")).exists():
            console.warn(
                f"{file} or the .npz beside it is damaged: it counts as not run, and fewshot sweep runs it again"
            )
    return Sweep(directory, settings, [record for record in found.values() if record is not None])


# What reports and the App read of sweep.json. A file without a checksum may be anybody's, and older ones hold less.
_ENTRIES: dict[str, type] = {
    **dict.fromkeys(("collection", "model", "fit", "precision", "device", "short", "images_digest"), str),
    **dict.fromkeys(("classes", "methods", "shots", "prompts", "texts", "dropped_classes"), list),
    **dict.fromkeys(("class_sizes", "sets", "method_settings", "recipes", "versions"), dict),
}
_LISTS_OF_TEXTS = ("classes", "methods", "prompts", "dropped_classes")


def _check_entries(settings: Mapping[str, Any]) -> None:
    """Raises NotJson for an entry of another kind."""
    for name in _ENTRIES.keys() & settings.keys():
        json_files.entry(settings, name, _ENTRIES[name])
    for name in _LISTS_OF_TEXTS:
        if not all(isinstance(each, str) for each in settings.get(name, [])):
            raise json_files.NotJson(f"its {name} are not texts")
    if "\0" in settings.get("collection", ""):
        raise json_files.NotJson("its collection is no name of a folder")


def _settings(directory: Path) -> dict[str, Any]:
    """What sweep.json holds. Raises FewposeError."""
    path = inside(directory, FILE)
    try:
        return json_files.read(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_sweep(directory) from error
    except OSError as error:
        raise FewposeError(f"{path} cannot be read ({error.strerror})") from error
    except json_files.NotJson as why:
        raise FewposeError(
            f"{path} is damaged ({why}); delete it and give the fewshot sweep command that made it again: "
            "trials that are done are kept"
        ) from why
