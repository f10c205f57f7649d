"""What is far from its class is flagged, whichever way it is off, and little else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.checks.rules.outlier import OUTLIER, deviations, distances
from curate.checks.rules.rule import CannotRun, Inputs
from curate.collection.directory import Collection
from curate.images.signatures import Signatures

THRESHOLD = OUTLIER.parameters["threshold"]


def found(path: Path, features: np.ndarray | None, labels: list[str]) -> pd.DataFrame:
    keys = [f"{number:04d}.jpg" for number in range(len(labels))]
    images = pd.DataFrame({"key": keys, "id": keys, "group": keys, "label": labels})
    collection = Collection.create(path / "collection")
    with Signatures(collection) as signatures:
        given = Inputs(collection, images, signatures, features, "lite0", 1)
        return OUTLIER.run(given, OUTLIER.parameters).set_index("key")


def clouds(count: int, width: int = 20) -> np.ndarray:
    """`count` images of each of two classes, one of which varies three times as much."""
    random = np.random.default_rng(0)
    means = 6 * np.eye(2, width)
    features = np.concatenate([means[c] + random.normal(size=(count, width)) * (1, 3)[c] * 0.3 for c in (0, 1)])
    result: np.ndarray = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    return result


def test_foreign_images_are_flagged_and_few_others(tmp_path: Path) -> None:
    features = clouds(150)
    foreign = [10, 200]
    features[foreign] = np.eye(20, dtype=np.float32)[[7, 8]]
    table = found(tmp_path, features, ["a"] * 150 + ["b"] * 150)
    flagged = table[table["score"] >= THRESHOLD]
    assert {f"{i:04d}.jpg" for i in foreign} <= set(flagged.index)
    assert len(flagged) <= 2 + 0.02 * len(table)
    assert table["score"].between(0, 1).all()
    assert "times the usual distance from its class" in flagged["detail"].iloc[0]


def test_a_class_is_measured_by_its_own_spread(tmp_path: Path) -> None:
    table = found(tmp_path, clouds(150), ["a"] * 150 + ["b"] * 150)
    medians = [table["score"].iloc[:150].median(), table["score"].iloc[150:].median()]
    assert medians == pytest.approx([0.5, 0.5], abs=0.02)


def test_small_classes_are_left_out(tmp_path: Path) -> None:
    table = found(tmp_path, clouds(30), ["a"] * 51 + ["b"] * 9)
    assert len(table) == 51
    with pytest.raises(CannotRun, match="a class of 10 pictures or more"):
        found(tmp_path, clouds(5), ["a"] * 5 + ["b"] * 5)
    with pytest.raises(CannotRun, match="image features"):
        found(tmp_path, None, ["a"] * 20)


def test_equal_images_are_no_outliers(tmp_path: Path) -> None:
    features = np.repeat(np.eye(2, 8, dtype=np.float32), 20, axis=0)
    assert (found(tmp_path, features, ["a"] * 20 + ["b"] * 20)["score"] == 0.5).all()


def test_distances_are_those_of_the_formula_from_the_mean_of_the_others() -> None:
    from sklearn.covariance import LedoitWolf

    X = np.random.default_rng(0).normal(size=(40, 3)) * (1, 2, 5)
    labels = np.array(["a"] * 40)
    off = np.stack([X[i] - np.delete(X, i, axis=0).mean(axis=0) for i in range(40)])
    covariance = LedoitWolf(assume_centered=True).fit(off).covariance_
    expected = [np.sqrt(row @ np.linalg.inv(covariance) @ row) for row in off]
    assert distances(X, labels) == pytest.approx(expected)


def test_deviations_are_robust() -> None:
    values = np.append(np.random.default_rng(0).normal(5, 2, 2000), 1e6)
    off = deviations(values, np.array(["a"] * 2001))
    assert off[:-1].std() == pytest.approx(1, abs=0.1)
    assert off[-1] > 1e4
