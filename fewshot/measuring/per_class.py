"""Single classes: how many images of each are recognised in each cell, and how much its images move the accuracy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fewshot.measuring.measure import Cell, Measured
from fewshot.measuring.statistics import summarize

CLASSES = ("set", "method", "shots", "class", "n", "tested", "mean", "sd", "ci_low", "ci_high", "sd_without")


def classes(measured: Measured) -> pd.DataFrame:
    """The recall of each class in each cell (CLASSES), all fractions, in the order of the cells, then the classes.

    `mean`, `sd` and the 95 % t-interval over splits are of the share of the class's test images that are named rightly;
    `n` splits tested the class, on `tested` images in all (one that two splits test counts twice). `sd_without` is the
    SD over splits of the accuracy on all other classes' images, to be compared with `sd` in the results.
    """
    rows: list[dict[str, Any]] = []
    for cell in measured.cells:
        if cell not in measured.by_class:
            continue
        right, tested = counts(measured, cell)
        for index, name in enumerate(measured.sweep.classes):
            there = tested[:, index] > 0
            found = summarize(list(right[there, index] / tested[there, index]))
            rows.append(
                {"set": cell.set, "method": cell.method, "shots": cell.shots, "class": name}
                | {"n": found.n, "tested": int(tested[:, index].sum()), "mean": found.mean, "sd": found.sd}
                | {"ci_low": found.low, "ci_high": found.high}
                | {"sd_without": sd_over_splits(_without(right, index), _without(tested, index))}
            )
    return pd.DataFrame(rows, columns=list(CLASSES))


def counts(measured: Measured, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Images named rightly, and tested: two arrays (splits, classes), splits ascending."""
    splits = measured.by_class[cell]
    stacked = np.stack([splits[split] for split in sorted(splits)])
    return stacked[..., 0], stacked[..., 1]


def _without(numbers: np.ndarray, index: int) -> np.ndarray:
    result: np.ndarray = numbers.sum(axis=1) - numbers[:, index]
    return result


def sd_over_splits(right: np.ndarray, tested: np.ndarray) -> float:
    """The sample SD of right / tested over splits; NaN with fewer than two."""
    there = tested > 0
    return float(np.std(right[there] / tested[there], ddof=1)) if there.sum() > 1 else math.nan


def shares(measured: Measured, cell: Cell, chosen: Sequence[int]) -> dict[int, float]:
    """split -> the share of the chosen classes' test images that are named rightly, where there are any."""
    found = {split: each[list(chosen)].sum(axis=0) for split, each in measured.by_class[cell].items()}
    return {split: float(right / tested) for split, (right, tested) in found.items() if tested}
