"""What a sweep says of each image: how often it was taken for another class when it was tested.

Read from what the sweep left (curate.sweeps.records). A report's wrong.csv leaves out what was never wrong. What each
training image does to accuracy is read from the report's influence.csv, where fewshot report was run.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from curate.foundation import console
from curate.foundation.csv_files import original
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.inside import inside
from curate.foundation.text import command_line
from curate.sweeps.records import Predictions, Sweep, Trial, read_predictions, read_sweep

COLUMNS = ("key", "tested", "wrong_share", "confused_with")
INFLUENCE = ("influence", "influence_q")

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
    try:
        found = read_sweep(sweep)
    except FewposeError as error:  # --sweep named what is none
        raise UsageError(str(error)) from error
    if lacking := len(found.planned) - len(found.records):
        trials = f"{lacking} of {len(found.planned)} trials"
        console.warn(f"{sweep}: {trials} have not run; the fewshot sweep command that made it goes on with them")
    told = _counted(_best_cell(found), found.classes)
    return _with_influence(told, inside(sweep, "influence.csv"))


def _with_influence(told: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The same rows with INFLUENCE: only images that are tested at some time have one."""
    if not path.exists():
        return told
    try:
        names = {"shrunk_points": "influence", "q_value": "influence_q"}
        table = pd.read_csv(
            path,
            usecols=["key", *names],
            converters={"key": original},
            keep_default_na=False,  # NA may be a key
            na_values={name: [""] for name in names},
        ).rename(columns=names)
    except (OSError, ValueError) as error:
        again = command_line("fewshot", "report", path.parent)
        raise UsageError(f"{path} can't be read; write it again with {again}") from error
    known = table.dropna().set_index("key").astype(float)
    values = {name: pd.Series([known[name].get(key) for key in told["key"]], dtype=object) for name in INFLUENCE}
    return told.assign(**values)


def _best_cell(sweep: Sweep) -> list[Predictions]:
    """Of the cells that have most splits, the predictions of the most accurate one; the first of equals by name."""
    cells: dict[Cell, list[Trial]] = defaultdict(list)
    for record in sweep.records:
        if record.status == "done":
            trial = record.trial
            cells[trial.set, trial.method, trial.shots].append(trial)
    if not cells:
        raise UsageError(f"{sweep.directory} has no finished trial yet; go on with fewshot sweep")
    most = max(map(len, cells.values()))
    best: list[Predictions] = []
    for cell in sorted(cells):
        if len(cells[cell]) == most:
            said = [read_predictions(sweep.directory, trial) for trial in cells[cell]]
            best = said if not best or _accuracy(said) > _accuracy(best) else best
    return best


def _accuracy(trials: Iterable[Predictions]) -> float:
    return float(np.mean([np.mean(each.labels == each.logits.argmax(axis=1)) for each in trials]))


def _counted(trials: Iterable[Predictions], classes: list[str]) -> pd.DataFrame:
    tested: Counter[str] = Counter()
    taken_for: dict[str, Counter[str]] = defaultdict(Counter)
    for each in trials:
        tested.update(each.keys.tolist())
        predicted = each.logits.argmax(axis=1)
        wrong = each.labels != predicted
        for key, name in zip(each.keys[wrong].tolist(), predicted[wrong], strict=True):
            taken_for[key][classes[name]] += 1
    rows = []
    for key in sorted(tested):
        names = taken_for[key]
        usual = min(names, key=lambda name: (-names[name], name), default="")
        rows.append((key, tested[key], names.total() / tested[key], usual))
    return pd.DataFrame(rows, columns=list(COLUMNS))
