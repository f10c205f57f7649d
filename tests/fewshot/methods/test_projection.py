"""ProLIP: the loss and the training are the paper's, and what is chosen is chosen on the draw."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.foundation.errors import UsageError
from curate.models import clip_models
from fewshot.methods import projection
from fewshot.methods.projection import Projection
from fewshot.methods.zero_shot import ZeroShot, class_embeddings
from fewshot.task import Diverged, Fitted
from fewshot.training import frozen_trunk
from fewshot.training.calibration import temperature
from fewshot.training.folds import folds

# Untrained features need larger steps than CLIP's.
QUICK = Projection(rates=(1e-2,), powers=(1.0,), iterations=40)


def inputs_of(images: Any, given: Any) -> Tensor:
    return frozen_trunk.activations(images, given.task.clip, 0).float()


def plain(given: Any, rows: np.ndarray, rate: float, penalty: float, steps: int, weights: Tensor | None = None) -> Any:
    """The published training written down once more, for one draw, with an nn.Linear. Returns logits of images."""
    start = given.task.clip.model.visual.proj.detach()
    texts = torch.from_numpy(class_embeddings(given.task)) * given.task.clip.model.logit_scale.detach().exp()
    inputs, outputs = start.shape
    layer = nn.Linear(inputs, outputs, bias=False)
    layer.weight.data = start.T.clone()
    x = inputs_of(given.draw.images, given)[rows]
    labels = torch.from_numpy(given.draw.labels)[rows]
    optimiser = torch.optim.Adam(layer.parameters(), lr=rate, eps=1e-4)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        entropy = F.cross_entropy(F.normalize(layer(x), dim=1) @ texts.T, labels, weight=weights)
        loss = entropy + penalty * ((layer.weight - start.T) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def logits(images: Any) -> np.ndarray:
        with torch.no_grad():
            features = layer(inputs_of(images, given))
            result: np.ndarray = (F.normalize(features, dim=1) @ texts.T).numpy()
            return result

    return logits


def test_it_is_the_published_training(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3, 3, templates=2)
    fitted = QUICK.fit(given.draw, given.task)
    assert fitted.chosen["lr"] == 1e-2
    assert fitted.chosen["lambda"] == pytest.approx(1 / 3, rel=1e-3)
    expected = plain(given, np.arange(9), 1e-2, 1 / 3, 40)(given.test)
    np.testing.assert_allclose(fitted.logits(given.test), expected, rtol=1e-3, atol=1e-3)
    assert np.abs(expected - ZeroShot().fit(given.draw, given.task).logits(given.test)).max() > 0.5


def test_balanced_classes_weigh_the_same(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 2)
    task = replace(given.task, class_weights="balanced")
    fitted = replace(QUICK, powers=(0.0,)).fit(given.draw, task)
    weights = torch.tensor([1 / 6, 1 / 2])
    expected = plain(given, np.arange(8), 1e-2, 1.0, 40, weights)(given.test)
    np.testing.assert_allclose(fitted.logits(given.test), expected, rtol=1e-3, atol=1e-3)
    unweighted = plain(given, np.arange(8), 1e-2, 1.0, 40)(given.test)
    assert np.abs(expected - unweighted).max() > 0.05


def test_the_gradient_is_that_of_finite_differences() -> None:
    random = np.random.default_rng(0)

    def tensor(*shape: int) -> Tensor:
        return torch.from_numpy(random.normal(size=shape))

    inputs, weights = tensor(2, 5, 4), torch.from_numpy(random.integers(0, 3, (2, 5, 3)).astype(float))
    start, labels = tensor(2, 5, 3), torch.from_numpy(random.integers(0, 4, (2, 5)))
    problems = projection._Problems([], (1.0,), inputs, start, labels, weights, tensor(2, 3).abs(), tensor(4, 3))
    change = tensor(2, 4, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(problems.loss, change)
    (gradient,) = torch.autograd.grad(problems.loss(change)[1, 2], change)
    own = torch.zeros_like(change, dtype=torch.bool)
    own[1, :, 2] = True
    assert gradient[own].abs().min() > 0
    assert not gradient[~own].any()  # no training sees another


@pytest.mark.slow
def test_the_choice_is_that_of_a_plain_cross_validation(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6)
    # At a rate of 1e-6 both penalties end in the same logits on some CPUs, and a tie is no choice.
    asked = Projection(rates=(1e-4, 3e-2), powers=(0.0, 3.0), iterations=30)
    scores, held = {}, {}
    for rate in asked.rates:
        for power in asked.powers:
            logits = np.zeros((18, 3), np.float32)
            for fit, check in folds(given.draw, asked.folds):
                penalty = (len(fit) / 3) ** -power
                logits[check] = plain(given, fit, rate, penalty, 30)(given.draw.images)[check]
            right = int((logits.argmax(axis=1) == given.draw.labels).sum())
            loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(given.draw.labels)).item()
            scores[rate, 6.0**-power], held[rate, 6.0**-power] = (right, -loss), logits
    best = max(scores, key=lambda choice: scores[choice])
    assert len(set(scores.values())) == 4
    chosen = asked.fit(given.draw, given.task).chosen
    assert (chosen["lr"], chosen["lambda"]) == (best[0], pytest.approx(best[1], rel=1e-3))
    assert chosen["temperature"] == pytest.approx(temperature(held[best], given.draw.labels), rel=0.01)


def test_where_nothing_can_be_held_back_the_first_choices_hold(patterns: Callable[..., Any]) -> None:
    given = patterns(1, 4)
    chosen = Projection(rates=(1e-3, 1e-2), iterations=5).fit(given.draw, given.task).chosen
    assert chosen == {"lr": 1e-3, "lambda": 0.4}  # 2.5 images a class


@pytest.mark.slow
def test_stacked_trials_are_as_they_would_be_alone(
    patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [patterns(*sizes) for sizes in ((6, 6, 6), (6, 5, 6), (1, 4, 3), (3, 0, 3), (6, 6, 6))]
    asked = Projection(rates=(1e-3, 1e-2), iterations=30)
    alone = [asked.fit(each.draw, each.task) for each in given]
    for allowed in (1, 2**22, 2**30):
        monkeypatch.setitem(projection.BYTES, "cpu", allowed)
        together = asked.fit_batch([each.draw for each in given], [each.task for each in given])
        for mine, fitted, each in zip(alone, together, given, strict=True):
            assert isinstance(fitted, Fitted)
            assert fitted.chosen == pytest.approx(mine.chosen, rel=1e-2)
            np.testing.assert_allclose(fitted.logits(each.test), mine.logits(each.test), rtol=1e-4, atol=1e-3)


def test_averaging_interpolates_the_projection(patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4)
    fitted = QUICK.fit(given.draw, given.task)
    assert fitted.averaged is not None
    np.testing.assert_array_equal(fitted.averaged(1.0).logits(given.test), fitted.logits(given.test))
    zero = ZeroShot().fit(given.draw, given.task).logits(given.test)
    # The encoder that ends in bf16 rounds its features to 3 digits, and these are not of its making.
    np.testing.assert_allclose(fitted.averaged(0.0).logits(given.test), zero, atol=0.2)
    assert "temperature" in fitted.chosen
    assert "temperature" not in fitted.averaged(0.5).chosen


@pytest.mark.slow
def test_it_learns_the_patterns(patterns: Callable[..., Any]) -> None:
    given = patterns(8, 8, 8)
    fitted = Projection(rates=(1e-3, 1e-2)).fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.8


def test_a_rate_that_is_too_high_is_told(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    with pytest.raises(Diverged, match="the loss rose from"):
        Projection(rates=(1e6,), powers=(0.0,), iterations=3).fit(given.draw, given.task)


@pytest.mark.slow
def test_a_tower_without_a_projection_is_refused() -> None:
    with pytest.raises(UsageError, match="the image tower of lite0 ends without one; use linear-probe"):
        Projection().check(clip_models.load("lite0", device="cpu"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rates": ()}, "rates must be numbers, above 0"),
        ({"rates": (0.0,)}, "rates must be numbers, above 0"),
        ({"powers": (-1.0,)}, "powers must be numbers, at least 0"),
        ({"iterations": 0}, "iterations must be a whole number, at least 1, not 0"),
        ({"folds": 1}, "folds must be a whole number, at least 2, not 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Projection(**wrong)
