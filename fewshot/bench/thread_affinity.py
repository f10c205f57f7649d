"""A fixed number of threads on as many CPUs, for figures that can be compared."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from curate.foundation import console
from curate.foundation.errors import UsageError


@contextmanager
def fixed_affinity(threads: int | None = None) -> Iterator[int]:
    """Run torch with so many threads (its own choice if None), and on Linux bind this thread, and those that it starts,
    to as many CPUs. Yields the number.

    Raises UsageError where this process may not use as many CPUs.
    """
    before, allowed = torch.get_num_threads(), _allowed()
    wanted = threads or min(before, len(allowed))
    if not 1 <= wanted <= len(allowed):
        raise UsageError(f"--threads {wanted}: this process may use {console.count(len(allowed), 'CPU')}")
    torch.set_num_threads(wanted)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, allowed[:wanted])
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, allowed)


def _allowed() -> list[int]:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
