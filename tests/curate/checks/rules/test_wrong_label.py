"""Planted wrong labels are found and named, copies never vouch for each other, and chance decides nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.checks.rules.out_of_fold import FOLDS, by_features, by_postures, folds, together
from curate.checks.rules.rule import CannotRun, Inputs
from curate.checks.rules.wrong_label import WRONG_LABEL
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.images.signatures import Signatures
from curate.pose.keypoints import COLUMNS, NOBODY, Keypoints

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


@pytest.fixture(autouse=True)
def without_keypoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures are made up, and nobody can be looked for in them."""

    def cannot(*_: object) -> Keypoints:
        raise FewposeError("there are no weights")

    monkeypatch.setattr("curate.pose.needed.keypoints_of", cannot)


def postures(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Joints (n, 33, 5) of people who take a posture for each class, as well as they can."""
    shapes = np.random.default_rng(9).uniform(0, 100, (len(CLASSES), 33, 2))
    joints = np.full((len(labels), 33, 5), 0.9)
    numbers = [CLASSES.index(label) for label in labels]
    joints[:, :, :2] = shapes[numbers] + np.random.default_rng(seed).normal(0, 6, (len(labels), 33, 2))
    return joints


def with_people(given: Inputs, joints: np.ndarray, people: list[int] | None = None) -> Inputs:
    """The same, where keypoints were found.  people: in each image; one, unless said."""
    rows = []
    for number, (id, one) in enumerate(zip(given.images["id"], joints, strict=True)):
        count = 1 if people is None else people[number]
        for person in range(count) or (NOBODY,):
            values = one.ravel() if count else np.full(one.size, np.nan)
            rows.append((id, person, *(0.9 if count else np.nan for _ in range(7)), "blazepose-full", "0", *values))
    given.__dict__["keypoints"] = Keypoints(pd.DataFrame(rows, columns=list(COLUMNS)))  # as the property would keep it
    return given


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
    probabilities = by_features(noise, numbers, fold, 1000.0)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (probabilities.argmax(axis=1) == numbers).mean() < 0.5


@pytest.mark.slow
def test_the_body_finds_what_the_picture_does_not_show(tmp_path: Path) -> None:
    _, labels = clouds()
    given = labels.copy()
    given[[3, 45]] = "tree"
    # Pictures that show their class a little: the classifier on them is right more often than not.
    features, _ = clouds()
    blurred = features + np.random.default_rng(4).normal(size=features.shape).astype(np.float32) * 0.3
    looks = found(inputs(tmp_path, blurred, given))
    both = found(with_people(inputs(tmp_path / "both", blurred, given), postures(labels)))
    body = found(with_people(inputs(tmp_path / "body", None, given), postures(labels)))
    wrong = ["0003.jpg", "0045.jpg"]
    threshold = WRONG_LABEL.parameters["threshold"]
    assert set(both.index[both["score"] >= threshold]) == set(wrong)
    assert set(wrong) == set(body.sort_values("score").index[-2:])
    assert set(wrong) != set(looks.sort_values("score").index[-2:])
    assert both.loc[wrong, "suggestion"].tolist() == ["boat", "camel"]


@pytest.mark.slow
def test_only_the_body_of_who_is_alone_counts(tmp_path: Path) -> None:
    features, labels = clouds()
    joints = postures(labels)
    joints[:4] = postures(np.array(["tree"] * 4))  # boats that sit like trees
    people = [1, 2, 0, 1] + [1] * (len(labels) - 4)
    table = found(with_people(inputs(tmp_path, features, labels), joints, people))
    score = table["score"].to_numpy()
    assert max(score[1], score[2]) < 0.1 < min(score[0], score[3])


@pytest.mark.slow
def test_what_is_known_of_no_posture_is_left_to_the_picture() -> None:
    labels = np.repeat([0, 1], 20)
    joints = postures(np.array(["boat", "tree"])[labels])
    joints[7] = np.nan
    fold = np.arange(40) % FOLDS
    probabilities = by_postures(joints, labels, fold, 1)
    assert np.isnan(probabilities[7]).all()
    assert (probabilities[np.arange(40) != 7].argmax(axis=1) == labels[np.arange(40) != 7]).all()
    looks = np.full((40, 2), 0.5)
    assert together(looks, probabilities, labels)[7].tolist() == [0.5, 0.5]
    assert np.isnan(by_postures(np.full((40, 33, 5), np.nan), labels, fold, 1)).all()


def test_who_knows_nothing_has_no_weight() -> None:
    labels = np.repeat([0, 1], 20)
    right = np.eye(2)[labels] * 0.8 + 0.1
    guess = np.full((40, 2), 0.5)
    assert together(right, guess, labels) == pytest.approx(right)
    assert together(guess, right, labels) == pytest.approx(right)
    assert together(guess, guess, labels) == pytest.approx(guess)
