"""What a sweep says of each image: how often it was taken for another class when it was tested.

Read from the sweep's files as docs/fewshot.md describes them: sweep.json, and trials/SET/METHOD/nNN/sNNN.json (the
record, written last) beside .npz (logits, labels, keys). A report's wrong.csv leaves out what was never wrong. What
each training image does to accuracy is read from the report's influence.csv, where fewshot report was run.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.foundation.errors import UsageError

COLUMNS = ("key", "tested", "wrong_share", "confused_with")
INFLUENCE = ("influence", "influence_q")
_FORMAT = 1

Cell = tuple[str, str, int]  # set, method, shots


def read(sweep: Path) -> pd.DataFrame:
    """COLUMNS, one row an image that was tested, by key, in the cell that has most splits, and of those the best.

    tested: in how many splits. wrong_share: in which part of them it was called something else. confused_with: what it
    was called most often then (the first of equals by name), "" where it was always right.
    With a report's influence.csv also INFLUENCE, None where nothing is known. influence: what training on the image
    changes of accuracy, in percentage points, shrunk by what is noise. influence_q: of the images that are at least as
    far from 0, such a part is so by chance.
    Raises UsageError where `sweep` holds no finished trial, or an influence.csv that can't be read.
    """
    classes = _classes(sweep)
    cells: dict[Cell, list[Any]] = defaultdict(list)
    for record in sorted(sweep.glob("trials/*/*/n*/s*.json")):
        trial = _trial(record)
        if trial:
            cells[trial[0]].append(trial[1])
    if not cells:
        raise UsageError(f"{sweep} has no finished trial yet; go on with fewshot sweep")
    best = max(sorted(cells), key=lambda cell: (len(cells[cell]), _accuracy(cells[cell])))
    return _with_influence(_counted(cells[best], classes), sweep / "influence.csv")


def _with_influence(told: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The same rows with INFLUENCE: only images that are tested at some time have one."""
    if not path.exists():
        return told
    try:
        names = {"shrunk_points": "influence", "q_value": "influence_q"}
        table = pd.read_csv(path, usecols=["key", *names], dtype={"key": str}).rename(columns=names)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read; write it again with fewshot report {path.parent}") from error
    known = table.dropna().set_index("key").astype(float)
    values = {name: pd.Series([known[name].get(key) for key in told["key"]], dtype=object) for name in INFLUENCE}
    return told.assign(**values)


def _classes(sweep: Path) -> list[str]:
    try:
        settings = json.loads((sweep / "sweep.json").read_bytes())
        if settings["format"] > _FORMAT:
            raise UsageError(f"{sweep} was written by a newer fewpose; update with pip install -U fewpose")
        return list(settings["classes"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{sweep} is not a sweep (no readable sweep.json); make one with fewshot sweep") from error


def _trial(record: Path) -> tuple[Cell, tuple[np.ndarray, np.ndarray, np.ndarray]] | None:
    """Cell, and keys, labels and predicted classes (n,); None for a trial that failed or isn't whole."""
    try:
        said = json.loads(record.read_bytes())
        if said["status"] != "done":
            return None
        content = record.with_suffix(".npz").read_bytes()
        if hashlib.sha256(content).hexdigest() != said["predictions_sha256"]:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            tested = arrays["keys"], arrays["labels"], arrays["logits"].argmax(axis=1)
        cell = said["trial"]
        return (cell["set"], cell["method"], cell["shots"]), tested
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _accuracy(trials: list[Any]) -> float:
    return float(np.mean([np.mean(labels == predicted) for _, labels, predicted in trials]))


def _counted(trials: list[Any], classes: list[str]) -> pd.DataFrame:
    tested: Counter[str] = Counter()
    taken_for: dict[str, Counter[str]] = defaultdict(Counter)
    for keys, labels, predicted in trials:
        tested.update(keys.tolist())
        wrong = labels != predicted
        for key, name in zip(keys[wrong].tolist(), predicted[wrong], strict=True):
            taken_for[key][classes[name]] += 1
    rows = []
    for key in sorted(tested):
        names = taken_for[key]
        usual = min(names, key=lambda name: (-names[name], name), default="")
        rows.append((key, tested[key], names.total() / tested[key], usual))
    return pd.DataFrame(rows, columns=list(COLUMNS))
