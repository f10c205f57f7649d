"""A method's classifier, tower and head, says what the method says, without the draw."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from curate.models import clip_models
from curate.models.clip_models import ClipModel
from fewshot import methods
from fewshot.classifier import HEADS, CacheHead, Head, LinearHead, of_images

QUICK = {"finetune": {"epochs": 2, "lr": 1e-3}, "finetune-last": {"epochs": 2, "lr": 1e-3}}
QUICK |= {"lora": {"iterations": 4, "lr": 1e-2}, "proj": {"iterations": 20}, "tip-adapter-f": {"epochs": 2}}
NAMES = [
    *("zero-shot", "nearest-class-mean", "linear-probe", "tip-adapter", "tip-adapter-f", "proj", "proj@0.3"),
    *("lora", "lora@0.5", "finetune-last1", "finetune", "finetune@0.5"),
]


@pytest.fixture(scope="module")
def exact() -> ClipModel:
    """In fp32 everywhere: what is merged into weights before and after rounding differs."""
    clip = clip_models.load("tiny/random", device="cpu")
    clip.precision = "fp32"
    return clip


@pytest.mark.parametrize("name", NAMES)
def test_of_every_method_it_says_what_the_method_says(
    patterns: Callable[..., Any], exact: ClipModel, name: str
) -> None:
    given = patterns(5, 4, 5, clip=exact)
    named = methods.parse(name)
    fitted = methods.build(named.training, QUICK.get(named.base, {})).fit(given.draw, given.task)
    if named.alpha < 1:
        assert fitted.averaged is not None
        fitted = fitted.averaged(named.alpha)
    expected = fitted.logits(given.test)
    made = of_images(fitted.classifier())
    said = made.head.scores(clip_models.encode(made.tower.eval(), exact.normalise, given.test.pixels()))
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_it_keeps_its_weights_when_another_is_trained(patterns: Callable[..., Any]) -> None:
    first, second = patterns(4, 4), patterns(4, 4, seed=1)
    method = methods.build("finetune", QUICK["finetune"])
    made = of_images(method.fit(first.draw, first.task).classifier())
    before = {name: each.clone() for name, each in made.tower.state_dict().items()}
    method.fit(second.draw, second.task).logits(second.test)
    assert all(torch.equal(before[name], each) for name, each in made.tower.state_dict().items())
    assert not torch.equal(before["conv1.weight"], first.task.clip.model.visual.state_dict()["conv1.weight"])


@pytest.mark.parametrize("power", [1.0, 0.5, 0.3])
def test_a_linear_head_computes_what_its_docstring_says(power: float) -> None:
    random = np.random.default_rng(0)
    features, weights, bias = random.normal(size=(4, 6)), random.normal(size=(3, 6)), random.normal(size=3)
    values = np.sign(features) * np.abs(features) ** power
    expected = values / np.linalg.norm(values, axis=1, keepdims=True) @ weights.T + bias
    head = LinearHead(weights, bias, power)
    np.testing.assert_allclose(head.scores(features.astype(np.float32)), expected, atol=1e-5)


def test_a_feature_that_is_nothing_has_a_slope_that_is_a_number() -> None:
    features = torch.tensor([[0.0, 1.0, -2.0]], requires_grad=True)
    LinearHead(np.eye(3), power=0.5)(features).sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    "head",
    [LinearHead(np.eye(3), power=0.5), CacheHead(np.eye(3), np.ones((5, 3)), np.ones((5, 3)), 2.0, 5.5)],
    ids=lambda head: head.kind,
)
def test_kind_settings_and_arrays_are_all_that_makes_a_head(head: Head) -> None:
    settings, arrays = json.loads(json.dumps(head.settings())), head.state_dict()
    again = HEADS[head.kind](**arrays, **settings)
    features = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.scores(features), head.scores(features))
