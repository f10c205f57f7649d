"""Batch norm fused into convolutions: the same results and gradients, under the same names."""

import copy

import pytest
import torch

from curate.models import clip_models
from fewshot.training.fused_batch_norm import _pairs, fuse_batch_norm


@pytest.mark.slow
def test_results_and_gradients_are_the_same() -> None:
    plain = clip_models.load("lite0", device="cpu").model.visual
    fused = copy.deepcopy(plain)
    fuse_batch_norm(fused)
    assert len(list(_pairs(fused))) == 49  # every one that lite0 has
    assert fused.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    results = [tower(images) for tower in (plain, fused)]
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)
    gradients = [
        torch.autograd.grad((result**2).sum(), list(tower.parameters()))
        for tower, result in zip((plain, fused), results, strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        # What lies at a border of a ReLU6 may fall to its other side by rounding.
        assert (one - other).norm() <= 0.02 * one.norm() + 1e-6


def test_a_vision_transformer_has_nothing_to_fold() -> None:
    model = clip_models.load("tiny/random", device="cpu").model
    assert list(_pairs(model)) == []
