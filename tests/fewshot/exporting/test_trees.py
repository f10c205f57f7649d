"""Trees in onnxruntime say what the forest says, or there is no file."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from curate.foundation.errors import FewposeError
from curate.pose import posture
from curate.pose.forest import Forest
from fewshot.exporting import library, trees
from fewshot.exporting.alone import shares

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")


def forest(least: int = 1, labels: tuple[int, ...] = (0, 2, 3)) -> Forest:
    random = np.random.default_rng(0)
    truth = random.choice(labels, 60)
    features = random.normal(size=(60, posture.WIDTH)) + truth[:, None] / 3
    return Forest.of(ExtraTreesClassifier(7, min_samples_leaf=least, random_state=0).fit(features, truth))


@pytest.mark.parametrize("least", [1, 9], ids=["a vote a leaf", "several votes a leaf"])
def test_any_batch_says_what_the_forest_says(tmp_path: Path, least: int) -> None:
    made = forest(least)
    assert trees.write(made, 5, tmp_path / "a.onnx", {"classes": "[]"}) < trees.MOST_DIFFERENCE
    session = library.session(tmp_path / "a.onnx", 1)
    features = trees.drawn(made)
    expected = np.zeros((len(features), 5))
    expected[:, made.classes] = made.probabilities(features)
    assert np.ptp(expected[:, made.classes], axis=0).min() > 0.1
    for batch in (1, 3, len(features)):
        np.testing.assert_allclose(shares(session, features[:batch]), expected[:batch], atol=1e-6)
    assert session.get_modelmeta().custom_metadata_map == {"classes": "[]"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_half_of_the_drawn_features_are_thresholds() -> None:
    made = forest()
    known = [set(made.threshold[made.feature == feature].tolist()) for feature in range(posture.WIDTH)]
    drawn = trees.drawn(made)
    hits = sum(value in known[feature] for row in drawn.tolist() for feature, value in enumerate(row))
    assert hits > 0.2 * drawn.size


def test_a_forest_that_knows_nothing_gives_no_class_a_share(tmp_path: Path) -> None:
    assert trees.write(Forest.empty(), 3, tmp_path / "a.onnx", {}) == 0
    assert not shares(library.session(tmp_path / "a.onnx"), trees.drawn(Forest.empty())).any()


def test_a_file_that_says_something_else_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "shares", lambda *asked: shares(*asked) + 1e-3)
    with pytest.raises(FewposeError, match=re.escape(f"{tmp_path / 'a.onnx'} is not written: in onnxruntime, shares")):
        trees.write(forest(), 5, tmp_path / "a.onnx", {})
    assert list(tmp_path.iterdir()) == []


def test_trees_that_are_too_many_for_a_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_MOST_BYTES", 1000)
    with pytest.raises(FewposeError, match="train a model of fewer --trees"):
        trees.write(forest(), 5, tmp_path / "a.onnx", {})
    assert list(tmp_path.iterdir()) == []
