"""What speaks for a class and for no other."""

import numpy as np
import torch

from fewshot.classifier import LinearHead
from fewshot.explaining.score import log_odds

HEAD = LinearHead(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
FEATURES = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 2, 3, 1])


def test_it_is_the_log_of_p_over_1_minus_p() -> None:
    chance = HEAD(FEATURES).softmax(1).double()[torch.arange(5), TARGETS]
    torch.testing.assert_close(
        log_odds(HEAD, TARGETS)(FEATURES).double(), (chance / (1 - chance)).log(), atol=1e-5, rtol=0
    )


def test_its_slope_points_as_that_of_the_log_probability() -> None:
    features = FEATURES.clone().requires_grad_()
    (odds,) = torch.autograd.grad(log_odds(HEAD, TARGETS)(features).sum(), features)
    (chances,) = torch.autograd.grad(HEAD(features).log_softmax(1)[torch.arange(5), TARGETS].sum(), features)
    torch.testing.assert_close(torch.cosine_similarity(odds, chances), torch.ones(5))


def test_an_answer_that_is_quite_sure_has_a_slope_all_the_same() -> None:
    sure = LinearHead(np.array([[200, 0], [-200, 0], [0, 200]], np.float32))
    features = torch.tensor([[1.0, 0.1]], requires_grad=True)
    target = torch.tensor([0])
    (flat,) = torch.autograd.grad(sure(features).log_softmax(1)[0, 0], features)
    (slope,) = torch.autograd.grad(log_odds(sure, target)(features).sum(), features)
    assert flat.abs().max() == 0
    assert slope.abs().max() > 1
