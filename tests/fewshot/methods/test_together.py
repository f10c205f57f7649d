"""Several methods that answer together: each by what it knows, and none to another's harm."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from curate.foundation.errors import UsageError
from fewshot import methods
from fewshot.classifier import Mixture
from fewshot.logits import mixed
from fewshot.task import Draw, Images

BOTH = "pose+linear-probe"


def shuffled(given: Any, seed: int = 0) -> Any:
    """The same images, with a body each that has nothing to do with the class."""
    random = np.random.default_rng(seed)

    def some(images: Images) -> Images:
        joints = images.joints()[random.permutation(len(images))]
        places = {image: place for place, image in enumerate(images.ids)}
        store = dataclasses.replace(images.store, joints=lambda ids: joints[[places[each] for each in ids]])
        return Images(store, images.ids)

    return dataclasses.replace(
        given, draw=dataclasses.replace(given.draw, images=some(given.draw.images)), test=some(given.test)
    )


def accuracy(name: str, given: Any) -> float:
    logits = methods.build(name, {}).fit(given.draw, given.task).logits(given.test)
    return float((logits.argmax(axis=1) == given.truth).mean())


@pytest.mark.slow
def test_where_the_body_says_nothing_the_image_decides(patterns: Callable[..., Any]) -> None:
    given = shuffled(patterns(8, 8, 8, 8, bodies=True, tested=20))
    fitted = methods.build(BOTH, {}).fit(given.draw, given.task)
    assert fitted.chosen["weights"]["pose"] < 0.1
    assert accuracy("pose", given) < 0.5 < accuracy("linear-probe", given)
    assert accuracy(BOTH, given) >= accuracy("linear-probe", given) - 0.02


@pytest.mark.slow
def test_what_is_chosen_is_what_the_formula_says_of_held_back_images(patterns: Callable[..., Any]) -> None:
    """The weights by a plain loop over folds; and the answer by the formula of a logarithmic pool."""
    given = patterns(6, 6, 6, bodies=True)
    fitted = methods.build(BOTH, {}).fit(given.draw, given.task)
    knows = []
    for name in methods.parts(BOTH):
        method, held, labels = methods.build(name, {}), [], []
        for learned, checked in folds(given.draw):
            held.append(method.fit(part(given.draw, learned), given.task).logits(part(given.draw, checked).images))
            labels.append(given.draw.labels[checked])
        knows.append(nats(np.concatenate(held), np.concatenate(labels)))
    expected = np.square(knows) / np.square(knows).sum()
    np.testing.assert_allclose(list(fitted.chosen["weights"].values()), expected, atol=0.01)


def folds(draw: Draw) -> list[tuple[np.ndarray, np.ndarray]]:
    from fewshot.training.folds import folds as parts

    return parts(draw, 5)


def part(draw: Draw, places: np.ndarray) -> Draw:
    images = Images.of(draw.images.store, [draw.images.ids[place] for place in places])
    return Draw(images, draw.labels[places], draw.groups[places])


def nats(logits: np.ndarray, labels: np.ndarray) -> float:
    """ln K less the log loss, at the temperature of the least, one image of unknown class among them."""
    scales = np.exp(np.linspace(-5, 5, 4001))
    losses = []
    for scale in scales:
        said = log_softmax(scale * logits.astype(np.float64), axis=1)
        losses.append(-said[np.arange(len(labels)), labels].sum() - said.mean())
    said = log_softmax(scales[int(np.argmin(losses))] * logits.astype(np.float64), axis=1)
    return max(1e-3, float(np.log(logits.shape[1]) + said[np.arange(len(labels)), labels].mean()))


def test_a_side_that_finds_all_classes_alike_has_no_say() -> None:
    one, other = np.array([[2.0, 0, 1], [0, 0, 0]]), np.array([[0.0, 3, 0], [1, 0, 0]])
    both = mixed([one, other], (1.0, 2.0), (0.25, 0.75))
    expected = 0.25 * log_softmax(one[0]) + 0.75 * log_softmax(other[0] / 2)
    np.testing.assert_allclose(both, [expected, log_softmax(other[1] / 2)], atol=1e-6)
    np.testing.assert_array_equal(mixed([one[1:], one[1:]], (1.0, 1.0), (0.5, 0.5)), [[0, 0, 0]])


def test_with_one_image_a_class_both_count_alike(patterns: Callable[..., Any]) -> None:
    given = patterns(1, 1, 1, bodies=True)
    fitted = methods.build(BOTH, {}).fit(given.draw, given.task)
    assert fitted.chosen["weights"] == {"pose": 0.5, "linear-probe": 0.5}
    assert "temperature" not in fitted.chosen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero-shot+linear-probe", "pose+finetune@0.5", "pose+linear-probe+zero-shot"])
def test_any_methods_answer_together(patterns: Callable[..., Any], name: str) -> None:
    given = patterns(3, 3, bodies=True)
    own = {"finetune.epochs": 1} if "finetune" in name else {}
    fitted = methods.build(name, own).fit(given.draw, given.task)
    assert list(fitted.chosen["weights"]) == name.split("+")
    assert fitted.logits(given.test).shape == (8, 2)
    made = fitted.classifier()
    assert isinstance(made, Mixture)
    assert len(made.sides) == len(name.split("+"))


@pytest.mark.slow
def test_a_batch_says_what_each_says_alone(patterns: Callable[..., Any]) -> None:
    given = [patterns(4, 4, bodies=True, seed=seed) for seed in (0, 1)]
    method = methods.build(BOTH, {})
    assert method.batching_is_faster("cpu")  # type: ignore[attr-defined]
    together = method.fit_batch([each.draw for each in given], [each.task for each in given])  # type: ignore[attr-defined]
    for each, fitted in zip(given, together, strict=True):
        alone = method.fit(each.draw, each.task)
        np.testing.assert_allclose(fitted.logits(each.test), alone.logits(each.test), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pose+", "write a method on each side of a +"),
        ("pose+pose", "the same method can't be on two sides"),
        ("finetune+finetune@0.5", "the same method can't be on two sides"),
        ("pose+luck", "there is no method 'luck'"),
    ],
)
def test_names_that_make_no_sense(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("+", r"\+")):
        methods.parse(name)


def test_settings_are_those_of_the_sides() -> None:
    assert set(methods.defaults(BOTH)) == {
        "pose.trees",
        *(f"linear-probe.{each}" for each in ("strengths", "powers", "folds")),
    }
    assert methods.describe(BOTH).needs == ("keypoints",)
    assert not methods.describe(BOTH).alone
    assert methods.describe("pose-prior+zero-shot").alone
