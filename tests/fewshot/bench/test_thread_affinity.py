"""As many threads and CPUs as were asked for, and afterwards as before."""

import os

import pytest
import torch

from curate.foundation.errors import UsageError
from fewshot.bench.thread_affinity import fixed_affinity


def test_threads_and_cpus_are_fixed_and_then_as_before() -> None:
    threads, cpus = torch.get_num_threads(), os.sched_getaffinity(0)
    torch.set_num_threads(2)
    try:
        with fixed_affinity(1) as used:
            assert used == torch.get_num_threads() == len(os.sched_getaffinity(0)) == 1
        assert torch.get_num_threads() == 2
        assert os.sched_getaffinity(0) == cpus
    finally:
        torch.set_num_threads(threads)


def test_unless_said_there_are_as_many_as_torch_has() -> None:
    with fixed_affinity() as used:
        assert used == min(torch.get_num_threads(), len(os.sched_getaffinity(0)))


def test_they_are_as_before_after_an_error() -> None:
    cpus = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError), fixed_affinity(1):
        raise RuntimeError
    assert os.sched_getaffinity(0) == cpus


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="--threads 4096: this process may use"), fixed_affinity(4096):
        pass
