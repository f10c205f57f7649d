"""Tip-Adapter's logits are those of its paper, and what it chooses it chooses on the draw."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fewshot.folds import folds
from fewshot.methods.tip_adapter import PUBLISHED, TipAdapter, TipAdapterF
from fewshot.methods.zero_shot import ZeroShot, class_embeddings


def by_hand(
    image: np.ndarray, keys: np.ndarray, labels: np.ndarray, zero: np.ndarray, alpha: float, beta: float
) -> list:
    """Equations 3 to 6, one number at a time."""
    scores = [float(z) for z in zero]
    for key, label in zip(keys, labels, strict=True):
        cosine = sum(float(a) * float(b) for a, b in zip(image, key, strict=True))
        scores[label] += alpha * math.exp(-beta * (1 - cosine))
    return scores


def test_logits_are_those_of_the_paper(patterns: Callable) -> None:
    given = patterns(3, 2, 3)
    fitted = TipAdapter(alphas=(2.0,), betas=(5.5,)).fit(given.draw, given.task)
    assert fitted.chosen == {"alpha": 2.0, "beta": 5.5}
    zero = ZeroShot().fit(given.draw, given.task).logits(given.test)
    for row, image in enumerate(given.test.features()):
        expected = by_hand(image, given.draw.images.features(), given.draw.labels, zero[row], 2.0, 5.5)
        np.testing.assert_allclose(fitted.logits(given.test)[row], expected, rtol=1e-4, atol=1e-4)


def test_alpha_and_beta_are_those_that_guess_most_of_the_held_out_folds(patterns: Callable) -> None:
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


def test_where_nothing_can_be_held_back_the_published_values_hold(patterns: Callable) -> None:
    given = patterns(1, 4)
    chosen = TipAdapter().fit(given.draw, given.task).chosen
    assert (chosen["alpha"], chosen["beta"]) == PUBLISHED


def test_f_takes_its_first_step_down_the_gradient_of_the_cross_entropy(patterns: Callable) -> None:
    """After one step AdamW has moved each number of the keys by the learning rate, against the gradient's sign."""
    given = patterns(3, 3)
    fixed = TipAdapterF(alphas=(1.0,), betas=(5.5,), epochs=1, lr=1e-3, epsilon=1e-12)
    keys, labels = torch.from_numpy(given.draw.images.features()), torch.from_numpy(given.draw.labels)
    texts = torch.from_numpy(class_embeddings(given.task)) * given.task.clip.model.logit_scale.detach().exp()
    variable = keys.clone().requires_grad_()
    cache = torch.exp(-5.5 * (1 - keys @ variable.T)) @ F.one_hot(labels, 2).float()
    F.cross_entropy(keys @ texts.T + cache, labels).backward()
    trained, _ = fixed._keys(
        keys.numpy(), np.eye(2, dtype=np.float32)[labels], texts.numpy(), (1.0, 5.5), given.draw, given.task
    )
    decayed = keys * (1 - 1e-3 * 0.01)  # AdamW's weight decay
    moved = torch.from_numpy(trained) - decayed
    clear = variable.grad.abs() > 1e-6
    torch.testing.assert_close(moved[clear], -1e-3 * variable.grad[clear].sign(), rtol=0.01, atol=1e-6)


def test_f_fits_its_draw_better_than_the_cache_alone_and_is_the_same_twice(patterns: Callable) -> None:
    given = patterns(5, 5, 5)
    options = {"alphas": (1.0,), "betas": (5.5,)}
    plain, trained = (kind(**options).fit(given.draw, given.task) for kind in (TipAdapter, TipAdapterF))

    def loss(fitted: object) -> float:
        logits = torch.from_numpy(fitted.logits(given.draw.images))
        return float(F.cross_entropy(logits, torch.from_numpy(given.draw.labels)))

    assert loss(trained) < loss(plain)
    again = TipAdapterF(**options).fit(given.draw, given.task)
    np.testing.assert_array_equal(trained.logits(given.test), again.logits(given.test))


@pytest.mark.parametrize("kind", [TipAdapter, TipAdapterF])
def test_it_learns_the_patterns(patterns: Callable, kind: type[TipAdapter]) -> None:
    given = patterns(8, 8, 8)
    assert (kind().fit(given.draw, given.task).logits(given.test).argmax(axis=1) == given.truth).mean() > 0.7
