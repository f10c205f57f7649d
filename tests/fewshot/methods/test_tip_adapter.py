"""Tip-Adapter's logits are those of its paper, and what it chooses it chooses on the draw."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fewshot.methods import tip_adapter
from fewshot.methods.tip_adapter import PUBLISHED, Cache, PreparedDraw, TipAdapter, TipAdapterF
from fewshot.methods.zero_shot import ZeroShot, class_embeddings
from fewshot.task import Draw, Fitted, Images
from fewshot.training.calibration import temperature
from fewshot.training.folds import folds


def by_hand(
    image: np.ndarray, keys: np.ndarray, labels: np.ndarray, zero: np.ndarray, alpha: float, beta: float
) -> list[Any]:
    """Equations 3 to 6, one number at a time."""
    scores = [float(z) for z in zero]
    for key, label in zip(keys, labels, strict=True):
        cosine = sum(float(a) * float(b) for a, b in zip(image, key, strict=True))
        scores[label] += alpha * math.exp(-beta * (1 - cosine))
    return scores


def test_logits_are_those_of_the_paper(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 2, 3)
    fitted = TipAdapter(alphas=(2.0,), betas=(5.5,)).fit(given.draw, given.task)
    assert (fitted.chosen["alpha"], fitted.chosen["beta"]) == (2.0, 5.5)
    zero = ZeroShot().fit(given.draw, given.task).logits(given.test)
    for row, image in enumerate(given.test.features()):
        expected = by_hand(image, given.draw.images.features(), given.draw.labels, zero[row], 2.0, 5.5)
        np.testing.assert_allclose(fitted.logits(given.test)[row], expected, rtol=1e-4, atol=1e-4)


def test_alpha_and_beta_are_those_that_guess_most_of_the_held_out_folds(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6)
    adapter = TipAdapter(alphas=(0.01, 50.0), betas=(1.0, 20.0))
    features, labels = given.draw.images.features(), given.draw.labels
    zero = ZeroShot().fit(given.draw, given.task).logits(given.draw.images)
    right = {}
    for alpha in adapter.alphas:
        for beta in adapter.betas:
            right[alpha, beta] = sum(
                int(np.argmax(by_hand(features[i], features[fit], labels[fit], zero[i], alpha, beta)) == labels[i])
                for fit, check in folds(given.draw, 5)
                for i in check
            )
    chosen = adapter.fit(given.draw, given.task).chosen
    assert right[chosen["alpha"], chosen["beta"]] == max(right.values())
    assert min(right.values()) < max(right.values())


def test_where_nothing_can_be_held_back_the_published_values_hold(patterns: Callable[..., Any]) -> None:
    given = patterns(1, 4)
    chosen = TipAdapter().fit(given.draw, given.task).chosen
    assert (chosen["alpha"], chosen["beta"]) == PUBLISHED


def test_f_takes_its_first_step_down_the_gradient_of_the_cross_entropy(patterns: Callable[..., Any]) -> None:
    """After one step AdamW has moved each number of the keys by the learning rate, against the gradient's sign."""
    given = patterns(3, 3)
    fixed = TipAdapterF(alphas=(1.0,), betas=(5.5,), epochs=1, lr=1e-3, epsilon=1e-12)
    keys, labels = torch.from_numpy(given.draw.images.features()), torch.from_numpy(given.draw.labels)
    texts = torch.from_numpy(class_embeddings(given.task)) * given.task.clip.model.logit_scale.detach().exp()
    variable = keys.clone().requires_grad_()
    cache = torch.exp(-5.5 * (1 - keys @ variable.T)) @ F.one_hot(labels, 2).float()
    F.cross_entropy(keys @ texts.T + cache, labels).backward()
    cache_of_all = Cache.of(
        PreparedDraw.of(given.draw, 0, texts.numpy(), 5), labels.numpy() >= 0, {"alpha": 1.0, "beta": 5.5}, "none"
    )
    trained = fixed.train([cache_of_all], torch.device("cpu"))[0][0]
    decayed = keys * (1 - 1e-3 * 0.01)  # AdamW's weight decay
    moved = torch.from_numpy(trained) - decayed
    assert variable.grad is not None
    clear = variable.grad.abs() > 1e-6
    torch.testing.assert_close(moved[clear], -1e-3 * variable.grad[clear].sign(), rtol=0.01, atol=1e-6)


def test_f_fits_its_draw_better_than_the_cache_alone_and_is_the_same_twice(patterns: Callable[..., Any]) -> None:
    given = patterns(5, 5, 5)
    options: dict[str, Any] = {"alphas": (1.0,), "betas": (5.5,)}
    plain, trained = (kind(**options).fit(given.draw, given.task) for kind in (TipAdapter, TipAdapterF))

    def loss(fitted: Fitted) -> float:
        logits = torch.from_numpy(fitted.logits(given.draw.images))
        return float(F.cross_entropy(logits, torch.from_numpy(given.draw.labels)))

    assert loss(trained) < loss(plain)
    again = TipAdapterF(**options).fit(given.draw, given.task)
    np.testing.assert_array_equal(trained.logits(given.test), again.logits(given.test))


@pytest.mark.parametrize("kind", [TipAdapter, TipAdapterF])
def test_it_learns_the_patterns(patterns: Callable[..., Any], kind: type[TipAdapter]) -> None:
    given = patterns(8, 8, 8)
    assert (kind().fit(given.draw, given.task).logits(given.test).argmax(axis=1) == given.truth).mean() > 0.7


def test_the_temperature_is_that_of_held_out_logits(patterns: Callable[..., Any]) -> None:
    """For each fold a cache of the rest, which for Tip-Adapter-F is trained on the rest."""
    given = patterns(6, 6, 6)
    draw = given.draw
    settings: dict[str, Any] = {"alphas": (1.0,), "betas": (5.5,)}
    features, zero = draw.images.features(), ZeroShot().fit(draw, given.task).logits(draw.images)
    plain, trained = zero.copy(), zero.copy()
    for fit, check in folds(draw, 5):
        plain[check] = [by_hand(features[i], features[fit], draw.labels[fit], zero[i], 1.0, 5.5) for i in check]
        rest = Images(draw.images.store, tuple(draw.images.ids[i] for i in fit))
        part = TipAdapterF(**settings).fit(Draw(rest, draw.labels[fit], draw.groups[fit]), given.task)
        trained[check] = part.logits(Images(draw.images.store, tuple(draw.images.ids[i] for i in check)))
    for kind, held_out in ((TipAdapter, plain), (TipAdapterF, trained)):
        found = kind(**settings).fit(draw, given.task).chosen["temperature"]
        assert found == pytest.approx(temperature(held_out, draw.labels), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2**40])
def test_caches_that_are_trained_together_come_out_as_alone(
    patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of several sizes and with more batches than others, each shuffled by its own seed."""
    monkeypatch.setattr(tip_adapter, "CPU_BYTES", at_once)
    sizes = [(6, 6, 6), (5, 7, 5), (1, 4, 3), (10, 9, 9)]
    given = [patterns(*counts, seed=place) for place, counts in enumerate(sizes)]
    adapter = TipAdapterF(batch_size=10)
    together = adapter.fit_batch([each.draw for each in given], [each.task for each in given])
    for each, fitted in zip(given, together, strict=True):
        alone = adapter.fit(each.draw, each.task)
        assert fitted.chosen == pytest.approx(alone.chosen, rel=1e-3)
        np.testing.assert_allclose(fitted.logits(each.test), alone.logits(each.test), atol=1e-5, rtol=1e-5)


def test_balanced_classes_weigh_the_same_in_f_s_loss(patterns: Callable[..., Any]) -> None:
    """As if the images of the smaller class were there twice."""
    given = patterns(6, 3)
    texts, chosen = class_embeddings(given.task), {"alpha": 1.0, "beta": 5.5}
    every = np.ones(9, bool)
    cache = Cache.of(PreparedDraw.of(given.draw, 0, texts, 5), every, chosen, "balanced")
    np.testing.assert_allclose(cache.weights, [0.75] * 6 + [1.5] * 3)
    keys = torch.from_numpy(cache.keys).requires_grad_()
    logits = (
        torch.from_numpy(cache.zero_shot)
        + torch.exp(5.5 * (keys.detach() @ keys.T - 1)) @ torch.eye(2)[given.draw.labels]
    )
    F.cross_entropy(logits, torch.from_numpy(given.draw.labels), weight=torch.tensor([0.75, 1.5])).backward()
    trained = TipAdapterF(epochs=1, epsilon=1e-12).train([cache], torch.device("cpu"))[0][0]
    moved = torch.from_numpy(trained - cache.keys * (1 - 1e-3 * 0.01))
    assert keys.grad is not None
    clear = keys.grad.abs() > 1e-6
    torch.testing.assert_close(moved[clear], -1e-3 * keys.grad[clear].sign(), rtol=0.01, atol=1e-6)
