"""FLOPs as they can be counted by hand."""

import torch

from fewshot.bench.roofline import flops, matmul_rate


def test_a_product_of_matrices_takes_two_flops_for_each_term() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7, requires_grad=True)
    assert flops(lambda: (a @ b).sum(), backward=False) == 2 * 3 * 5 * 7
    assert flops(lambda: (a @ b).sum(), backward=True) == 2 * 2 * 3 * 5 * 7  # and the gradient of b


def test_a_rate_is_a_number() -> None:
    assert 0 < matmul_rate(torch.device("cpu")) < 1e16
