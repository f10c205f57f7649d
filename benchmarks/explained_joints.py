"""Do the joints decide that `fewshot explain` shows? A part of benchmarks/explain.py, which says what is claimed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.faithfulness import areas_of_parts, interval
from curate.body.poses import shipped
from curate.body.projected import skeletons
from curate.collection.directory import Collection
from curate.pose import posture
from curate.pose.classifier import PostureClassifier, views
from curate.pose.needed import keypoints_of
from curate.workers.opening import in_order
from curate.workers.settings import WorkerSettings
from fewshot.classifier import BodyClassifier
from fewshot.explaining.joints import PARTS, contributions, log_odds, with_parts
from fewshot.logits import softmax

OURS = "ours"
ORDERS = 8  # random ones of each body
DONORS = 4  # other bodies, whose parts take the place of those that are taken away
RANDOM = "random"  # worse than ours, by the claim
MEASURES = ("faithfulness", "faithfulness_other", "until_changed")

Answers = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Bodies:
    """A classifier, and joints (n, 33, 5) of bodies of known `labels` (n,) that it has not learned from."""

    classifier: BodyClassifier
    joints: np.ndarray
    labels: np.ndarray

    @classmethod
    def learned(cls, joints: np.ndarray, labels: np.ndarray, tested: np.ndarray, truth: np.ndarray) -> "Bodies":
        """As the method `pose` learns from joints (m, 33, 5) with labels (m,)."""
        forest = PostureClassifier(views(joints), labels).forest()
        return cls(BodyClassifier(forest, int(labels.max()) + 1), tested, truth)

    def some(self, number: int) -> "Bodies":
        """So many, spread evenly."""
        places = np.linspace(0, len(self.joints) - 1, min(number, len(self.joints))).astype(int)
        return replace(self, joints=self.joints[places], labels=self.labels[places])


def of_skeletons(poses: tuple[str, ...], shots: int, number: int) -> Bodies:
    """Skeletons of poses by name, `shots` of each to learn from, and `number` in all to ask about."""
    chosen = [shipped()[name] for name in poses]
    learned, asked = (skeletons(chosen, views=each, seed=seed) for each, seed in ((shots, 1), (shots, 2)))
    return Bodies.learned(*learned, *asked).some(number)


def of_photographs(collection: Collection, drawn: pd.DataFrame, tested: pd.DataFrame, number: int) -> Bodies:
    """The surest people in photographs: rows of the image table to learn from, and to ask about."""
    rows = pd.concat([drawn, tested.iloc[np.linspace(0, len(tested) - 1, min(number, len(tested))).astype(int)]])
    joints = keypoints_of(collection, rows, WorkerSettings()).joints(list(rows["id"]))
    labels = np.unique(rows["label"].to_numpy(dtype=str), return_inverse=True)[1]
    there = np.isfinite(joints[:, :, 0]).any(axis=1)
    learned = np.arange(len(rows)) < len(drawn)
    parts = [each[there & which] for which in (learned, ~learned) for each in (joints, labels)]
    return Bodies.learned(*parts)


@dataclass(frozen=True)
class Asked:
    """One body of many."""

    bodies: Bodies
    place: int


def measure_one(asked: Asked) -> dict[str, list[float]]:
    """MEASURES of each order of the parts of one body, by the order's name."""
    bodies, random = asked.bodies, np.random.default_rng(asked.place)
    joints = bodies.joints[asked.place]
    target = int(bodies.classifier.logits(joints[None])[0].argmax())
    gone, other = partial(without, bodies.classifier, joints), replaced(bodies, asked.place, random)
    return {
        name: np.mean([of_order(gone, other, order, target) for order in orders], axis=0).tolist()
        for name, orders in orders_of(bodies.classifier, joints, target, random).items()
    }


def measure(bodies: Bodies) -> dict[str, Any]:
    """Of each order of the parts its measures, and ours less each other, body by body."""
    found = list(in_order(measure_one, [Asked(bodies, place) for place in range(len(bodies.joints))], WorkerSettings()))
    accuracy = (bodies.classifier.logits(bodies.joints).argmax(axis=1) == bodies.labels).mean()
    told: dict[str, Any] = {"bodies": len(found), "accuracy": round(float(accuracy), 4), "parts": len(PARTS)}
    for column, what in enumerate(MEASURES):
        values = {name: np.array([each[name][column] for each in found]) for name in found[0]}
        told[what] = {name: interval(each) for name, each in values.items()}
        less = {name: values[OURS] - each for name, each in values.items() if name != OURS}
        told[f"{what}_ours_less"] = {name: interval(each) for name, each in less.items()}
    return told


def of_order(gone: Answers, other: Answers, order: np.ndarray, target: int) -> tuple[float, float, float]:
    """MEASURES of one order."""
    deleted, inserted, changed = areas_of_parts(gone, order, target)
    deleted_other, inserted_other, _ = areas_of_parts(other, order, target)
    return inserted - deleted, inserted_other - deleted_other, changed


def orders_of(
    classifier: BodyClassifier, joints: np.ndarray, target: int, random: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """By name the orders of the parts, the first one first."""
    whole_less_one = np.concatenate([np.ones((1, len(PARTS)), bool), ~np.eye(len(PARTS), dtype=bool)])
    odds = log_odds(classifier.logits(with_parts(joints, whole_less_one)), [target])[:, 0]
    points = posture.normalised(joints[None, :, :2])[0]
    away = np.array([np.linalg.norm(points[part[0]]) for part in PARTS])
    return {
        OURS: [np.argsort(-contributions(classifier, joints, [target])[0])],
        "absence alone": [np.argsort(odds[1:])],
        "from the outside in": [np.argsort(-away)],
        RANDOM: [random.permutation(len(PARTS)) for _ in range(ORDERS)],
    }


def without(classifier: BodyClassifier, joints: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Probabilities of the classes, (m, classes), where of the parts only those in `kept` (m, 13) are known."""
    return softmax(classifier.logits(with_parts(joints, kept)))


def replaced(bodies: Bodies, place: int, random: np.random.Generator) -> Answers:
    """As `without`, but parts become those of other bodies: where they are there, seen from the middle of the trunk, in
    units of the body's size. The mean over DONORS of them.
    """
    others = np.delete(np.arange(len(bodies.joints)), place)
    chosen = [place, *random.choice(others, DONORS, replace=False).tolist()]
    alike = bodies.joints[chosen].copy()
    alike[:, :, :2] = posture.normalised(alike[:, :, :2])

    def answers(kept: np.ndarray) -> np.ndarray:
        own = np.isfinite(with_parts(np.ones_like(alike[0]), kept))
        each = [bodies.classifier.logits(np.where(own, alike[0], donor)) for donor in alike[1:]]
        result: np.ndarray = np.mean([softmax(logits) for logits in each], axis=0)
        return result

    return answers


def holds(found: dict[str, Any]) -> dict[str, bool]:
    """Whether ours is told to be better than random orders, by measure."""
    faithful, other, changed = (found[f"{what}_ours_less"][RANDOM] for what in MEASURES)
    return {
        "ours more faithful than random joints": faithful["low"] > 0,
        "ours more faithful where parts become another body's": other["low"] > 0,
        "the answer changes after fewer parts than random ones": changed["high"] < 0,
    }


def say(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['bodies']} bodies, accuracy {found['accuracy']:.3f}")
    for what in MEASURES:
        for kind, each in found[what].items():
            less = found[f"{what}_ours_less"].get(kind)
            told = f", ours less it {less['mean']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]" if less else ""
            print(f"  {what:18} {kind:20} {each['mean']:.3f}{told}", flush=True)
