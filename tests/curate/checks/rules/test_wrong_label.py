"""Planted wrong labels are found and named, copies never vouch for each other, and chance decides nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.checks.rules.rule import CannotRun, Inputs
from curate.checks.rules.wrong_label import FOLDS, WRONG_LABEL, errors, folds, out_of_fold, scores
from curate.collection.directory import Collection
from curate.images.signatures import Signatures

CLASSES = ("boat", "camel", "tree")
SIZE = 40  # images a class


def clouds(seed: int = 0, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of three classes that overlap a little."""
    random = np.random.default_rng(seed)
    labels = np.repeat(CLASSES, SIZE)
    features = random.normal(size=(len(labels), width)) + 1.5 * np.repeat(np.eye(3, width) * 3, SIZE, axis=0)
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32), labels


def inputs(path: Path, features: np.ndarray | None, labels: np.ndarray, groups: list[str] | None = None) -> Inputs:
    ids = [f"{number:064x}" for number in range(len(labels))]
    images = pd.DataFrame(
        {"key": [f"{number:04d}.jpg" for number in range(len(labels))], "id": ids, "label": labels}
    ).assign(group=groups or ids)
    collection = Collection.create(path / "collection")
    with Signatures(collection) as signatures:  # the rule reads none
        return Inputs(collection, images, signatures, features, "lite0", 1)


def found(given: Inputs, **changes: float) -> pd.DataFrame:
    return WRONG_LABEL.run(given, {**WRONG_LABEL.parameters, **changes}).set_index("key")


def test_planted_wrong_labels_are_flagged_and_their_class_suggested(tmp_path: Path) -> None:
    features, labels = clouds()
    given = labels.copy()
    wrong = [3, 17, 45, 61, 90, 101]
    given[wrong] = [CLASSES[(CLASSES.index(labels[i]) + 1) % 3] for i in wrong]
    table = found(inputs(tmp_path, features, given))
    planted = table.loc[[f"{i:04d}.jpg" for i in wrong]]
    assert (planted["score"] >= WRONG_LABEL.parameters["threshold"]).all()
    assert planted["score"].min() > table["score"].drop(planted.index).max()
    assert (table["score"] >= WRONG_LABEL.parameters["threshold"]).sum() <= len(wrong) + 4
    assert list(planted["suggestion"]) == list(labels[wrong])
    assert table["score"].between(0, 1).all()
    assert planted["detail"].iloc[0].startswith("looks like boat (0.")
    assert ", labelled camel (0." in planted["detail"].iloc[0]


def test_the_order_of_the_images_changes_nothing(tmp_path: Path) -> None:
    features, labels = clouds()
    labels[[3, 60]] = "tree"
    straight = inputs(tmp_path, features, labels)
    order = np.random.default_rng(1).permutation(len(labels))
    shuffled = Inputs(
        straight.collection,
        straight.images.iloc[order].reset_index(drop=True),
        straight.signatures,
        features[order],
        "lite0",
        1,
    )
    first, second = found(straight), found(shuffled).loc[straight.images["key"]]
    assert second["score"].to_numpy() == pytest.approx(first["score"].to_numpy(), abs=1e-3)
    assert second["suggestion"].tolist() == first["suggestion"].tolist()


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it(tmp_path: Path) -> None:
    features, labels = clouds(width=200)
    copies = [0] * 6  # of a boat, all called trees: shown one of them, any classifier would know the others
    features, labels = np.concatenate([features, features[copies]]), np.concatenate([labels, ["tree"] * 6])
    labels[0] = "tree"
    ids = [f"{number:064x}" for number in range(len(labels))]
    alone, grouped = (
        found(inputs(tmp_path, features, labels, groups), strength=1000).loc["0000.jpg", "suggestion"]
        for groups in (ids, [ids[0] if i == 0 or i >= 3 * SIZE else ids[i] for i in range(len(ids))])
    )
    assert (alone, grouped) == ("", "boat")


def test_small_classes_are_left_out_and_copies_counted_once(tmp_path: Path) -> None:
    features, labels = clouds()
    labels[:9] = "bow"  # nine pictures
    labels[40:60] = "cow"  # twenty, but copies of one
    groups = [f"{40 if 40 <= i < 60 else i:064x}" for i in range(len(labels))]
    table = found(inputs(tmp_path, features, labels, groups))
    assert len(table) == len(labels) - 29
    assert not {f"{i:04d}.jpg" for i in (*range(9), *range(40, 60))} & set(table.index)


def test_what_it_lacks_is_said(tmp_path: Path) -> None:
    features, labels = clouds()
    with pytest.raises(CannotRun, match="two classes of 10 pictures"):
        found(inputs(tmp_path, features, np.array(["tree"] * len(labels))))
    with pytest.raises(CannotRun, match="image features, and there are none: lite0"):
        found(inputs(tmp_path, None, labels))


def test_a_classifier_that_knows_nothing_is_no_judge(tmp_path: Path) -> None:
    _, labels = clouds()
    noise = np.random.default_rng(5).normal(size=(len(labels), 24)).astype(np.float32)
    with pytest.raises(CannotRun, match=r"the features of lite0 gives only \d\d% of the images their label"):
        found(inputs(tmp_path, noise, labels))


def test_folds_keep_groups_together_and_classes_even_and_know_no_order() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 25 + ["a", "b"])
    groups = np.array([f"g{i // 2}" for i in range(50)] + [f"h{i}" for i in range(25)] + ["g0", "g0"])
    fold = folds(labels, groups)
    table = pd.DataFrame({"fold": fold, "group": groups, "label": labels})
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    counts = table.drop_duplicates("group").groupby(["label", "fold"]).size()
    assert set(counts[["a"]]) == set(counts[["b"]]) == {5}
    assert len(counts) == 2 * FOLDS
    order = np.random.default_rng(0).permutation(len(labels))
    assert (folds(labels[order], groups[order]) == fold[order]).all()


def test_an_image_is_judged_by_a_classifier_that_was_not_shown_it() -> None:
    _, labels = clouds()
    numbers = np.unique(labels, return_inverse=True)[1]
    noise = np.random.default_rng(3).normal(size=(len(labels), 200))  # enough to learn every label by heart
    fold = np.arange(len(labels)) % FOLDS
    probabilities = out_of_fold(noise, numbers, fold, 1000.0)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (probabilities.argmax(axis=1) == numbers).mean() < 0.5


def test_errors_are_counted_as_in_the_confident_joint() -> None:
    # Of the first class (mean 0.7) two images count for it and one for the other; the fourth counts for neither.
    own = np.array([0.95, 0.9, 0.3, 0.65, 0.9, 0.5, 0.8])
    probabilities = np.stack([own, 1 - own], axis=1)
    probabilities[4:] = probabilities[4:, ::-1]
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    # The second class's mean is 0.733: its 0.9 and 0.8 count for it, and the first class's third, with 0.7, does not.
    assert errors(probabilities, labels) == 0
    probabilities[2] = [0.2, 0.8]
    assert errors(probabilities, labels) == round(4 / 3)


def test_scores_keep_the_order_and_flag_as_many_as_are_wrong() -> None:
    own = np.array([0.9, 0.01, 0.2, 0.4, 0.3, 0.1])
    likeliest = np.array([0.05, 0.9, 0.6, 0.5, 0.4, 0.2])
    score = scores(own, likeliest, 2)
    assert (np.argsort(score) == np.argsort(likeliest / own)).all()
    assert (score >= 0.5).tolist() == [False, True, True, False, False, False]
    assert (scores(own, likeliest, 0) < 0.5).all()
    assert (scores(own, likeliest, 6) >= 0.5).sum() == 5  # never where the own class is the likeliest
    assert scores(np.zeros(2), np.ones(2), 2).tolist() == pytest.approx([0.5, 0.5], abs=0.51)
