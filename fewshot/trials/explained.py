"""What SWEEP/explained holds: pictures, and explained.json, written last, which describes them. The report reads it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.foundation.inside import inside
from curate.sweeps.records import Trial, read

FOLDER, FILE = "explained", "explained.json"
FORMAT = 1


@dataclass(frozen=True)
class Mistake:
    """An image of class `truth` that was called `answer`, with that `probability`; its picture's name in the folder."""

    key: str
    truth: str
    answer: str
    probability: float
    file: str


@dataclass(frozen=True)
class Shown:
    """Mistakes of one trial, the hardest pair's first.

    `predictions_sha256`: of the trial's record. The trial was trained again; on `agreed` of its `tested` test images it
    answered as in the record, and only those are shown. `unread` mistakes could not be opened, or have changed.
    """

    trial: Trial
    predictions_sha256: str
    mistakes: tuple[Mistake, ...]
    agreed: int
    tested: int
    unread: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT} | dataclasses.asdict(self)

    def sentences(self) -> list[str]:
        """What was done, for the terminal."""
        trial = self.trial
        lines = [
            f"{trial.method} on {trial.set}, {trial.shots} images a class, split {trial.split}, trained again: it "
            f"answers as before on {self.agreed} of {self.tested} test images"
        ]
        lines += [f"{each.file}: {each.key}, called {each.answer}" for each in self.mistakes]
        if self.unread:
            lines.append(f"{self.unread} mistakes are not shown: their files can't be read, or have changed")
        return lines


def read_shown(sweep: Path) -> Shown | None:
    """What `sweep` has to show; None where there is nothing, or it is not of the record that is there now."""
    try:
        content = json_files.read(inside(sweep, f"{FOLDER}/{FILE}"))
        if content.pop("format") != FORMAT:
            return None
        content["trial"] = Trial(**content["trial"])
        content["mistakes"] = tuple(Mistake(**each) for each in content["mistakes"])
        shown = Shown(**content)
        named = all(Path(each.file).name == each.file for each in shown.mistakes)  # no way out of the folder
        record = read(sweep, shown.trial)
    except (FewposeError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return shown if named and record and record.predictions_sha256 == shown.predictions_sha256 else None
