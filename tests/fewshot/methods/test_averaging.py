"""Weights averaged with the starting point: exact at both ends, linear between, and no training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fewshot.classifier import LinearHead, of_images
from fewshot.methods.finetune import Finetune
from fewshot.methods.finetune_last import FinetuneLast
from fewshot.methods.linear_probe import LinearProbe
from fewshot.training.heads import TextHead
from fewshot.training.loop import Trainer
from fewshot.training.working_copies import working_copy

METHODS = [
    Finetune(lr=1e-3, epochs=2),
    Finetune(lr=1e-3, epochs=2, towers="image", start="probe"),
    FinetuneLast(lr=1e-3, epochs=2, blocks=1),
    FinetuneLast(lr=1e-3, epochs=2, blocks=2, start="probe"),
]


@pytest.mark.parametrize("method", METHODS)
def test_0_is_the_starting_model_and_1_the_trained_one(patterns: Callable[..., Any], method: Finetune) -> None:
    given = patterns(3, 3)
    fitted = method.fit(given.draw, given.task)
    assert fitted.averaged is not None
    trained = fitted.logits(given.test)
    np.testing.assert_array_equal(fitted.averaged(1.0).logits(given.test), trained)
    if method.start == "probe":
        probe = of_images(LinearProbe(powers=(1.0,)).fit(given.draw, given.task).classifier()).head
        assert isinstance(probe, LinearHead)
        weights, bias = probe.weights.numpy(), probe.bias.numpy()
    else:
        with torch.no_grad():
            head = TextHead(given.task.clip.model, given.task, frozen=True)
            weights, bias = (each.numpy() for each in head.class_vectors())
    start = (given.test.features() @ weights.T + bias).astype(np.float32)
    beginning = fitted.averaged(0.0).logits(given.test)
    np.testing.assert_allclose(beginning, start, rtol=1e-5, atol=1e-5)
    assert np.abs(trained - start).max() > 0.05


def test_between_them_the_weights_lie_between(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    fitted = METHODS[0].fit(given.draw, given.task)
    assert fitted.averaged is not None
    copy = working_copy(given.task.clip)
    states = []
    for alpha in (0.0, 0.3, 1.0):
        fitted.averaged(alpha).logits(given.test)
        states.append([each.detach().clone() for each in copy.model.parameters()])
    for first, between, last in zip(*states, strict=True):
        torch.testing.assert_close(between, 0.7 * first + 0.3 * last)


def test_it_costs_no_training(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = patterns(3, 3)
    fitted = METHODS[0].fit(given.draw, given.task)
    assert fitted.averaged is not None
    monkeypatch.setattr(Trainer, "train", None)
    scores = [fitted.averaged(alpha).logits(given.test) for alpha in (0.0, 0.5, 1.0)]
    assert not np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[1], scores[2])


def test_an_average_can_be_averaged_again(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    fitted = METHODS[0].fit(given.draw, given.task)
    assert fitted.averaged is not None
    half = fitted.averaged(0.5)
    assert half.averaged is not None
    quarter = half.averaged(0.5).logits(given.test)
    np.testing.assert_allclose(quarter, fitted.averaged(0.25).logits(given.test), atol=0.02)
