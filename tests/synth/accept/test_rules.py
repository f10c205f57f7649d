"""The rules of acceptance on features that are made up: what is like a class, far from it, a copy."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.checks.rules.rule import CannotRun
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.pose.keypoints import COLUMNS, NOBODY, Keypoints
from synth.accept import belonging, copies, distance
from synth.accept.candidates import Candidates
from synth.accept.rules import RULES

DEFAULTS = {rule.name: rule.parameters for rule in RULES}
CLASSES = ("plank", "tree", "warrior")
Make = Callable[..., Candidates]


def cloud(label: str, count: int, seed: int) -> np.ndarray:
    """Features (count, 16) around a direction for each class."""
    features = np.random.default_rng(seed).normal(0, 0.25, (count, 16)).astype(np.float32)
    features[:, CLASSES.index(label)] += 1
    result: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return result


def rows(keys: list[str], source: str, provenance: list[str] | None = None) -> pd.DataFrame:
    ids = [f"{n:02x}{'ab' if source == 'import' else 'cd'}" + "0" * 60 for n in range(len(keys))]
    table = pd.DataFrame({"key": keys, "id": ids, "group": ids, "source": source})
    return table.assign(
        label=[key.split("/")[0] for key in keys], provenance=provenance or [""] * len(keys), file="absent.png"
    )


@pytest.fixture
def make(collection: Collection) -> Iterator[Make]:
    """20 photographs a class, and the synthetic images of a test: label, features, content id they were made from."""
    features = np.concatenate([cloud(label, 20, seed) for seed, label in enumerate(CLASSES)])
    photographs = rows([f"{label}/{n}.jpg" for label in CLASSES for n in range(20)], "import")
    with Signatures(collection) as signatures:

        def made(*images: tuple[str, np.ndarray, str], **others: Any) -> Candidates:
            keys = [f"{label}/synthetic-{n}.png" for n, (label, _, _) in enumerate(images)]
            told = [f'{{"made_from": "{source}"}}' for _, _, source in images]
            values: dict[str, Any] = {
                "photographs": photographs,
                "photograph_features": features,
                "trusted": np.ones(60, bool),
                "features": np.stack([values for _, values, _ in images]),
            }
            return Candidates(
                collection=collection, images=rows(keys, "synthetic", told), signatures=signatures, model="made-up",
                workers=1, clip=None, **(values | others),
            )  # fmt: skip

        yield made


def score(run: Callable[..., pd.DataFrame], candidates: Candidates, **changed: float) -> list[dict[Hashable, Any]]:
    parameters = {**DEFAULTS[run.__name__], **changed}
    return run(candidates, parameters).sort_values("key").to_dict("records")


def test_an_image_like_its_class_has_its_probability_among_all(make: Make) -> None:
    like, unlike = cloud("tree", 1, 7)[0], cloud("plank", 1, 8)[0]
    good, bad = score(belonging.synthetic_class, make(("tree", like, ""), ("tree", unlike, "")))
    assert good["score"] < 0.5
    assert good["suggestion"] == ""
    assert bad["score"] > 0.9
    assert bad["suggestion"] == "plank"
    assert "by the features of made-up of 60 photographs" in bad["detail"]


def test_an_image_is_judged_by_a_classifier_that_has_not_seen_its_photograph(make: Make) -> None:
    # One photograph of a tree looks like a plank; what is made from it, too. Shown it, a classifier would know it.
    candidates = make(("tree", cloud("plank", 1, 8)[0], ""))
    assert candidates.photograph_features is not None
    assert candidates.features is not None
    features = candidates.photograph_features.copy()
    features[25] = candidates.features[0]
    strict = make(("tree", features[25], candidates.photographs["id"][25]), photograph_features=features)
    lenient = make(("tree", features[25], ""), photograph_features=features)
    [unseen], [seen] = (score(belonging.synthetic_class, c, strength=1000) for c in (strict, lenient))
    assert unseen["score"] > seen["score"]


def test_small_classes_are_left_out_and_two_are_needed(make: Make) -> None:
    images = (("tree", cloud("tree", 1, 7)[0], ""), ("lotus", cloud("plank", 1, 8)[0], ""))
    assert [row["key"] for row in score(belonging.synthetic_class, make(*images))] == ["tree/synthetic-0.png"]
    assert [row["key"] for row in score(distance.synthetic_far, make(*images))] == ["tree/synthetic-0.png"]
    for rule in (belonging.synthetic_class, distance.synthetic_far):
        with pytest.raises(CannotRun, match="30 photographs"):
            score(rule, make(*images), least=30)
        with pytest.raises(CannotRun):
            score(rule, make(*images, features=None))


def test_a_judge_that_does_not_know_the_photographs_is_not_heard(make: Make) -> None:
    noise = np.random.default_rng(0).normal(0, 1, (60, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    with pytest.raises(CannotRun, match=r"gives only \d+% of the photographs their label"):
        score(belonging.synthetic_class, make(("tree", noise[0], ""), photograph_features=noise))


def test_far_is_farther_than_the_photographs_are_from_each_other(make: Make) -> None:
    images = [("tree", values, "") for values in cloud("tree", 30, 7)]
    far = [row["score"] for row in score(distance.synthetic_far, make(*images))]
    assert np.mean(np.array(far) >= 0.98) < 0.25  # of 20 photographs one is the farthest
    [away] = score(distance.synthetic_far, make(("tree", cloud("warrior", 1, 9)[0], "")))
    assert away["score"] == 1
    assert "100% of the photographs are nearer to tree" in away["detail"]


def test_photographs_that_a_person_dropped_are_no_measure(make: Make) -> None:
    trusted = np.ones(60, bool)
    trusted[20:40] = False  # every tree
    with pytest.raises(CannotRun):
        score(distance.synthetic_far, make(("tree", cloud("tree", 1, 7)[0], ""), trusted=trusted))


def test_who_is_far_by_looks_and_near_by_posture_is_not_far(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    postures = {label: random.uniform(0, 200, (33, 2)) for label in CLASSES}

    def found(_: Collection, images: pd.DataFrame, __: object) -> Keypoints:
        """Postures of the classes, a little changed; a plank in the second synthetic image, nobody in the third."""
        people = []
        for key, label, id in images[["key", "label", "id"]].to_numpy():
            joints = np.full((33, 5), 0.9)
            joints[:, :2] = postures["plank" if key.endswith("synthetic-1.png") else label] + random.normal(
                0, 3, (33, 2)
            )
            nobody = key.endswith("synthetic-2.png")
            values = np.full(165, np.nan) if nobody else joints.ravel()
            people.append(
                (id, NOBODY if nobody else 0, *[np.nan if nobody else 0.9] * 7, "blazepose-full", "0", *values)
            )
        return Keypoints(pd.DataFrame(people, columns=list(COLUMNS)))

    monkeypatch.setattr("curate.pose.needed.keypoints_of", found)
    away = cloud("warrior", 1, 9)[0]
    images = make(*[("tree", away, "")] * 3)
    near, another, nobody = score(distance.synthetic_far, images)
    assert near["score"] < 0.9
    assert "100% of the photographs are nearer to tree" in near["detail"]
    assert near["detail"].endswith(f"; by posture {near['score']:.0%}")
    assert another["score"] == nobody["score"] == 1
    assert another["detail"].endswith("; by posture 100%")
    assert "posture" not in nobody["detail"]
    assert score(distance.synthetic_far, images, postures=0)[0]["score"] == 1


def test_nearness_is_the_mean_of_the_nearest_of_other_groups() -> None:
    similarities = np.array([[1.0, 0.8, 0]] * 3)
    groups = np.array(["a", "b", "c"])
    near = distance.nearness(similarities, np.array(["", "a", "x"]), groups, 2)
    np.testing.assert_allclose(near, [0.9, 0.4, 0.9])
    assert distance.nearness(similarities[:1, :1], groups[:1], groups[:1], 2).tolist() == [-np.inf]


def test_too_near_one_photograph_is_a_copy_but_not_of_the_one_it_was_made_from(make: Make) -> None:
    there = make(("tree", cloud("tree", 1, 7)[0], ""))
    assert there.photograph_features is not None
    twin = there.photograph_features[22]
    source = there.photographs["id"][22]
    alone, made = score(copies.synthetic_copy, make(("tree", twin, ""), ("tree", twin, source)))
    assert alone["score"] == pytest.approx(1)
    assert alone["other"] == source
    assert "to tree/2.jpg" in alone["detail"]
    assert made["score"] < 0.5
    assert made["other"] != source


def test_nearest_leaves_its_own_group_out() -> None:
    X = np.eye(3)
    which, near = copies.nearest(X[:2], np.array(["a", ""]), X, np.array(["a", "b", "c"]))
    assert near.tolist() == [0, 1]
    assert which.tolist()[1] == 1
    _, nothing = copies.nearest(X[:1], np.array(["a"]), X[:1], np.array(["a"]))
    assert nothing.tolist() == [-1]
