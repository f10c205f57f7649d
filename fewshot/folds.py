"""Parts of a draw, for a method to choose its settings by: cross-validation that sees nothing but the draw."""

import numpy as np

from fewshot.task import Draw

Parts = list[tuple[np.ndarray, np.ndarray]]


def folds(draw: Draw, number: int) -> Parts:
    """Up to `number` pairs of indices (to fit, to check), classes even, copies of one picture in one part.

    None where a class has a single image, or there is a single class: nothing can be held back then.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    present, sizes = np.unique(draw.labels, return_counts=True)
    parts = min(number, int(sizes.min()), len(np.unique(draw.groups)))
    if parts < 2 or len(present) < 2:
        return []
    return list(StratifiedGroupKFold(parts).split(draw.labels, draw.labels, draw.groups))
