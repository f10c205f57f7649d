"""A method's answers on training images that were held back from it: temperature and threshold are chosen by them.

Cross-validation inside the training images: as many classifiers as folds, each trained without one fold, which it then
classifies. The classifier that is kept is trained on all of them, with the temperature and the threshold of these.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.foundation import atomic, console
from curate.foundation.inside import inside
from fewshot.logits import softmax
from fewshot.trained.fitting import Fitting
from fewshot.training import calibration


@dataclass(frozen=True)
class HeldBack:
    """`logits` (n, classes), `labels` (n,), `groups` (n,) (copies of a picture share one), and `fold` (n,), in
    which an image was held back. Images whose class was missing from the other folds are left out.
    """

    logits: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    fold: np.ndarray

    def temperature(self) -> float:
        return calibration.temperature(self.logits, self.labels)

    def probabilities(self) -> np.ndarray:
        """(n, classes), each image's by a temperature that was chosen on the other folds."""
        result = np.empty(self.logits.shape)
        for fold in np.unique(self.fold):
            own = self.fold == fold
            rest = own if own.all() else ~own
            chosen = calibration.temperature(self.logits[rest], self.labels[rest])
            result[own] = softmax(self.logits[own] / np.float32(chosen))
        return result

    def threshold(self, temperature: float, unknown: float) -> float:
        """The probability of the likeliest class that a share `unknown` of these images stays below; to 4 digits."""
        surest = softmax(self.logits / np.float32(temperature)).max(axis=1)
        return float(f"{np.quantile(surest, unknown):.4g}")


def held_back(fitting: Fitting, number: int, store: Path, recipe: str) -> HeldBack | None:
    """The logits of `number` folds of the photographs, each by a classifier that was trained on the others.

    Finished folds are kept in `store`, named by `recipe`, a digest of all that determines them. None where nothing can
    be held back. Raises FewposeError where training fails.
    """
    parts = fitting.folds(number)
    files = [inside(store, f"{recipe}-{fold}-of-{len(parts)}.npz") for fold in range(len(parts))]
    missing = [fold for fold, file in enumerate(files) if _read(file) is None]
    photographs = fitting.photographs
    rows = [fitting.without(photographs.iloc[parts[fold][1]], photographs.iloc[parts[fold][0]]) for fold in missing]
    with console.progress("training without a part", len(parts)) as advance:
        advance(len(parts) - len(missing))
        for fold, fitted in zip(missing, fitting.fit(rows, [f"f{fold}" for fold in missing]), strict=True):
            _write(files[fold], fitted.logits(fitting.runner.images(photographs.iloc[parts[fold][1]])))
            advance(1)
    draw, found = fitting.runner.draw(photographs), []
    for fold, (learned, checked) in enumerate(parts):
        logits = _read(files[fold])
        known = np.isin(draw.labels[checked], draw.labels[learned])
        if logits is not None and known.any():
            places = checked[known]
            found.append((logits[known], draw.labels[places], draw.groups[places], np.full(len(places), fold)))
    return HeldBack(*map(np.concatenate, zip(*found, strict=True))) if found else None


def _write(file: Path, logits: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, logits=logits)  # not np.save: a zip has a checksum
    atomic.write_bytes(file, buffer.getvalue())


def _read(file: Path) -> np.ndarray | None:
    """(n, classes); None where there is no such file, or a damaged one."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            result: np.ndarray = arrays["logits"]
        return result
    except Exception:  # noqa: BLE001  (whatever damaged bytes make the reader raise)
        return None
