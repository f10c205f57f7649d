"""What a device could do at best: the rate of a large product of matrices, and the FLOPs that a piece of work needs."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flops(work: Callable[[], torch.Tensor], *, backward: bool) -> float:
    """Of `work` forwards, and with `backward` of the gradients of what it returns, a scalar."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        result = work()
        if backward:
            result.backward()
    return float(counter.get_total_flops())


def matmul_rate(device: torch.device) -> float:
    """FLOP/s of a large bf16 product of matrices."""
    edge = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    _seconds(lambda: a @ b, device)
    return 2 * edge**3 / min(_seconds(lambda: a @ b, device) for _ in range(5))


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
