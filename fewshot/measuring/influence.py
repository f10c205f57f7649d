"""Which training images help or hurt: what accuracy is with an image in the draw, minus what it is without it.

The idea is that of datamodels (Ilyas et al. 2022, arXiv 2202.00622): regress an outcome on which images were trained
on. They had 100,000s of trainings; a sweep has some dozens, in which a joint regression on hundreds of images has no
answer. So each image gets a regression of its own, with what would drown it taken out beforehand:

* Only splits count in which the image could be drawn, i.e. wasn't tested. Among those, chance (the hash that ranks its
  class) decides whether it is drawn: the two groups of splits differ in nothing else. It never is its own test image.
* The outcome is the accuracy on test images of its own class and of its rival alone, the class that it resembles most
  when it is tested itself. One image of some hundred moves little else, and the other classes are noise.
* Splits test other images, easy and hard ones. So of each test image only the difference counts between how it fared
  in this split and how it fared, on average, in all others that tested it (the pairing).
* A draw has a fixed number of images a class: an effect is that of this image *instead of an average one of its class*.

The standard error is that of the two-sample t-test with a common variance, over splits. Effects are shrunk towards 0
as a ridge regression would, by the share of their variance that isn't noise (empirical Bayes, normal-normal; Efron and
Morris 1975). As there are as many tests as images, q-values (Benjamini and Hochberg 1995) say how many of a list are
there by chance. In simulations with 78 splits and 6 images a class, an effect must be some 14 points to be told
from 0: most single images cannot.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from curate.sweeps import records
from curate.sweeps.records import Predictions
from fewshot.measuring.measure import Cell, Measured
from fewshot.measuring.tables import of_cell
from fewshot.trials.additions import composition

EFFECTS = (
    *("key", "label", "rival", "drawn", "not_drawn"),
    *("effect_points", "se_points", "shrunk_points", "q_value"),
)
COLUMNS = ("set", "method", "shots", *EFFECTS)
FEWEST = 3  # splits with an image, and splits without it, that an effect takes
FALSE = 0.1  # of the images that are called harmful or helpful, so many may be so by chance


def influence(measured: Measured) -> pd.DataFrame:
    """The training images of one cell (COLUMNS; see `chosen_cell`), the surest to hurt first; empty without records.

    drawn, not_drawn: splits with the image and without it in which it wasn't tested. effect_points: accuracy with it
    minus without it on test images of `label` and `rival`, in percentage points; se_points its standard error,
    shrunk_points what is left of it after shrinking. All empty where it was drawn, or left, fewer than FEWEST times.
    Images that no split tests, synthetic ones among them, have no row.
    """
    cell = chosen_cell(measured)
    if cell is None:
        return pd.DataFrame(columns=list(COLUMNS))
    trials = [
        records.read_predictions(measured.sweep.directory, record.trial)
        for record in sorted(measured.sweep.records, key=lambda record: record.trial)
        if record.status == "done" and Cell(record.trial.set, record.trial.method, record.trial.shots) == cell
    ]
    table = effects([trial for trial in trials if len(trial.train)], measured.sweep.classes)
    return pd.concat([pd.DataFrame([cell] * len(table), columns=list(cell._fields)), table], axis=1)


def chosen_cell(measured: Measured) -> Cell | None:
    """Where one image weighs most and most images are seen: fewest shots, the set with most images, then accuracy.

    (With N of a class's P images drawn, an effect is about 1/N, its noise about sqrt(P/N): it is plainest at small N.)
    A cell with fewer than half of the splits of the fullest one is not chosen.
    """
    sizes = {name: about.get("images", 0) for name, about in measured.sweep.settings.get("sets", {}).items()}
    scored = {cell: of_cell(measured, cell)["accuracy"] for cell in measured.cells}
    fullest = max(map(len, scored.values()), default=0)
    kept = [cell for cell in scored if len(scored[cell]) and 2 * len(scored[cell]) >= fullest]
    trained = [cell for cell in kept if cell.shots and not composition(cell.set).kind]
    return min(
        trained, key=lambda cell: (cell.shots, -sizes.get(cell.set, 0), -scored[cell].mean(), cell), default=None
    )


def effects(trials: Sequence[Predictions], classes: Sequence[str]) -> pd.DataFrame:
    """Each trained-on image's effect (EFFECTS) from the trials of one cell, one a split."""
    seen = _TestedImages(trials, len(classes))
    if not seen.keys.size:
        return pd.DataFrame(columns=list(EFFECTS))
    drawn, left = seen.drawn & ~seen.tested, ~seen.drawn & ~seen.tested
    trained = drawn.any(axis=1)
    drawn, left = drawn[trained], left[trained]
    labels, rivals = seen.labels[trained], seen.rivals[trained]
    outcome, known = seen.outcomes(labels, rivals)
    effect, error, p = _difference(outcome, drawn & known, left & known)
    table = pd.DataFrame(
        {
            "key": seen.keys[trained],
            "label": np.array(classes, dtype=object)[labels],
            "rival": np.array(classes, dtype=object)[rivals],
            "drawn": drawn.sum(axis=1),
            "not_drawn": left.sum(axis=1),
            "effect_points": 100 * effect,
            "se_points": 100 * error,
            "shrunk_points": 100 * _shrunk(effect, error),
            "q_value": _q_values(p),
        }
    )
    surest = pd.Series(np.sign(effect) * (1 - p)).fillna(np.inf)
    return table.assign(surest=surest).sort_values(["surest", "key"], ignore_index=True)[list(EFFECTS)]


class _TestedImages:
    """A cell's answers on images that were tested at least once: (images,) and (images, splits) arrays."""

    def __init__(self, trials: Sequence[Predictions], classes: int) -> None:
        self.classes = classes
        self.keys = np.unique(np.concatenate([trial.keys for trial in trials])) if trials else np.zeros(0, dtype="U1")
        shape = len(self.keys), len(trials)
        self.tested, self.drawn, right = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape)
        self.labels = np.zeros(len(self.keys), np.int64)
        resembles = np.zeros((len(self.keys), classes))
        for split, trial in enumerate(trials):
            rows = np.searchsorted(self.keys, trial.keys)
            self.tested[rows, split], self.labels[rows] = True, trial.labels
            right[rows, split] = trial.logits.argmax(axis=1) == trial.labels
            resembles[rows] += _softmax(trial.logits)
            self.drawn[:, split] = np.isin(self.keys, trial.train)
        resembles[np.arange(len(self.keys)), self.labels] = -1
        self.rivals = resembles.argmax(axis=1) if len(self.keys) else self.labels
        self.relative = self._against_other_splits(right)

    def _against_other_splits(self, right: np.ndarray) -> np.ndarray:
        """Right (1) or wrong (0) minus the mean of that in the other splits; NaN where there is no other."""
        times, total = self.tested.sum(axis=1, keepdims=True), right.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            elsewhere = (total - right) / (times - 1)
        return np.where(self.tested & (times > 1), right - elsewhere, np.nan)

    def outcomes(self, labels: np.ndarray, rivals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By image and split, the mean of `relative` over test images of its label and rival; and where any are."""
        member = np.eye(self.classes)[self.labels]  # (tested images, classes)
        sums = member.T @ np.nan_to_num(self.relative)
        counts = member.T @ ~np.isnan(self.relative)
        number = counts[labels] + counts[rivals]
        return (sums[labels] + sums[rivals]) / np.maximum(number, 1), number > 0


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return result


def _difference(outcome: np.ndarray, with_: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, ...]:
    """By row, mean with minus mean without, its standard error, and the t-test's two-sided p; NaN where too few."""
    from scipy.stats import t

    a, b = with_.sum(axis=1), without.sum(axis=1)
    enough = (a >= FEWEST) & (b >= FEWEST)
    a, b = np.maximum(a, 1), np.maximum(b, 1)
    means = (outcome * with_).sum(axis=1) / a, (outcome * without).sum(axis=1) / b
    squares = ((outcome - means[0][:, None]) ** 2 * with_ + (outcome - means[1][:, None]) ** 2 * without).sum(axis=1)
    freedom = np.maximum(a + b - 2, 1)
    effect, error = means[0] - means[1], np.sqrt(squares / freedom * (1 / a + 1 / b))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(error > 0, 2 * t.sf(np.abs(effect / error), freedom), 1.0)  # no variation: no evidence
    return tuple(np.where(enough, values, np.nan) for values in (effect, error, p))


def _shrunk(effect: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Effects times the share of their variance that isn't noise (moment estimate; 0 where noise explains it all)."""
    known = ~np.isnan(effect)
    if not known.any():
        return effect
    true = max(float(np.mean(effect[known] ** 2 - error[known] ** 2)), 0.0)
    with np.errstate(invalid="ignore"):
        share = np.where(error > 0, true / (true + error**2), 1.0)
    return effect * share


def _q_values(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    known = ~np.isnan(p)
    q = np.full(len(p), np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
