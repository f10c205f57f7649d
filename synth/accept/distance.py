"""Whether a synthetic image is as near to the photographs of its class as they are to each other."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.components import large_enough
from curate.checks.rules.rule import CannotRun, Rule
from curate.collection.findings import Kind
from curate.pose import posture
from synth.accept.candidates import Candidates, compared


def synthetic_far(inputs: Candidates, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Far from the photographs of its class: the score is the part of them that is nearer to the rest of the class.

    Nearness is the mean similarity to the nearest `neighbours`, copies of a photograph and of the one that an image was
    made from left out. Who is far by looks may be near by posture, as a rendered figure is: the score is the part of
    the photographs that is nearer by posture, then, where that part is below `postures`. parameters: `components` of
    the features; images of classes with fewer than `least` photographs are left out. Without keypoints, looks decide.
    Raises CannotRun where nothing is left.
    """
    found = {row: (score, detail) for row, score, detail in _by_looks(inputs, parameters)}
    if not found:
        raise CannotRun(f"it needs {parameters['least']:g} photographs of a class, copies counted once")
    far = [row for row, (score, _) in found.items() if score >= parameters["threshold"]]
    for row, part in _by_postures(inputs, inputs.images.loc[far], parameters):
        score, detail = found[row]
        found[row] = (part if part < parameters["postures"] else score, f"{detail}; by posture {part:.0%}")
    said = pd.DataFrame.from_dict(found, orient="index", columns=["score", "detail"])
    return said.assign(key=inputs.images["key"]).reset_index(drop=True)


def _by_looks(inputs: Candidates, parameters: Mapping[str, float]) -> Iterator[tuple[int, float, str]]:
    """Rows of `images`, with scores and what they say."""
    images, photographs = compared(inputs, int(parameters["components"]))
    groups = inputs.photographs["group"].to_numpy(str)
    for label, rows in inputs.images.groupby("label"):
        theirs = _photographs(inputs, str(label), parameters)
        if not len(theirs):
            continue
        class_ = photographs[theirs]
        usual, mine = (
            nearness(these @ class_.T, names, groups[theirs], int(parameters["neighbours"]))
            for these, names in ((class_, groups[theirs]), (images[rows.index], inputs.source_groups[rows.index]))
        )
        median = float(np.median(usual))
        for row, score, near in zip(rows.index.tolist(), farther(mine, usual).tolist(), mine, strict=True):
            yield row, score, f"{score:.0%} of the photographs are nearer to {label} ({near:.2f}, usually {median:.2f})"


def _by_postures(
    inputs: Candidates, images: pd.DataFrame, parameters: Mapping[str, float]
) -> Iterator[tuple[int, float]]:
    """Rows of `images`, with scores; of those images and photographs that show one person alone."""
    groups = inputs.photographs["group"].to_numpy(str)
    for label, rows in images.groupby("label"):
        photographs = inputs.photographs.loc[_photographs(inputs, str(label), parameters)]
        try:
            points, theirs = (
                inputs.keypoints_of(each).joints_of_those_alone(list(each["id"]))[:, :, :2]
                for each in (rows, photographs)
            )
        except CannotRun:
            return
        mine, there = (np.isfinite(each).any(axis=(1, 2)) for each in (points, theirs))
        if there.sum() < parameters["least"] or not mine.any():
            continue
        class_, names = theirs[there], groups[photographs.index[there]]
        known = rows.index[mine]
        usual, near = (
            nearness(-posture.distances(these, class_), own, names, int(parameters["neighbours"]))
            for these, own in ((class_, names), (points[mine], inputs.source_groups[known]))
        )
        yield from zip(known.tolist(), farther(near, usual).tolist(), strict=True)


def _photographs(inputs: Candidates, label: str, parameters: Mapping[str, float]) -> np.ndarray:
    """Which photographs are those of a class to compare with, none where these are too few: numbers of rows."""
    labels, groups = (inputs.photographs[column].to_numpy(str) for column in ("label", "group"))
    rows = np.flatnonzero(inputs.trusted & (labels == label))
    return np.asarray(rows[large_enough(labels[rows], groups[rows], max(2, parameters["least"]))])


def farther(mine: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Of each nearness (n,), the part of the usual ones (m,) that is larger: (n,)."""
    return np.asarray((usual[None, :] > mine[:, None]).mean(axis=1))


def nearness(similarities: np.ndarray, groups: np.ndarray, other_groups: np.ndarray, k: int) -> np.ndarray:
    """The mean of the k largest of the similarities of each of n things with m others (n, m): (n,).

    groups, other_groups: (n,), (m,); those of the same group are left out. -inf where nothing is left.
    """
    others = np.where(groups[:, None] != other_groups[None, :], similarities, -np.inf)
    best = -np.sort(-others, axis=1)[:, :k]
    counted = np.isfinite(best)
    sums = np.where(counted, best, 0).sum(axis=1)
    return np.asarray(np.where(counted.any(axis=1), sums / np.maximum(counted.sum(axis=1), 1), -np.inf))


# With lite0 on photos18, 1.4 % of the photographs score that much by looks in their own class, 76 % in others; by
# posture, 9 % of them reach 0.9 in their own class, and 98 % in others (docs/synth.md).
SYNTHETIC_FAR = Rule(
    "synthetic_far",
    "far from its class",
    2,
    Kind.LABEL,
    True,
    {"threshold": 0.98, "components": 512, "neighbours": 5, "least": 10, "postures": 0.9},
    synthetic_far,
    needs_features=True,
)
