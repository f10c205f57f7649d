"""The same bits each time on the same machine and device: the settings of torch and cuDNN that this takes.

https://docs.pytorch.org/docs/stable/notes/randomness.html
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic as filling

from curate.foundation.errors import FewposeError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS reads it when a process first multiplies on a card


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Where `enabled`, torch chooses no algorithm in this block whose result may vary; afterwards all is as before.

    Raises FewposeError where the block needs an operation that has no other algorithm.
    """
    if not enabled:
        yield
        return
    before = _settings()
    workspace = os.environ.get(_CUBLAS)
    os.environ.setdefault(_CUBLAS, ":4096:8")
    # New memory isn't filled: that helps to find reads of values that were never written, and writes all memory twice.
    _apply(True, False, False, True, False)
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).split(" does not have")[0].split()[-1]
        raise FewposeError(
            f"--deterministic: torch has no deterministic {operation} on this device; leave it out, or use --device cpu"
        ) from error
    finally:
        _apply(*before)
        if workspace is None:
            del os.environ[_CUBLAS]


def _settings() -> tuple[bool, bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        filling.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )


def _apply(algorithms: bool, warn_only: bool, fill: bool, cudnn: bool, benchmark: bool) -> None:
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    filling.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = cudnn
    torch.backends.cudnn.benchmark = benchmark  # which would choose by the clock
