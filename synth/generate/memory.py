"""How many images fit into memory at once: guessed, tried, and halved where it was too many."""

import gc
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from curate.foundation.errors import FewposeError

MOST = 32  # images of 512 px keep a large card busy long before
MOST_ON_CPU = 4  # beyond, a CPU gains nothing

# Bytes of activations for each pixel in the denoiser (both halves of the guidance), and in the VAE, which takes one
# image at a time. Only where to start: what does not fit is found out by trying.
_DENOISER = 2048
_VAE = 6144

Item = TypeVar("Item")
Result = TypeVar("Result")


def first_guess(device: torch.device, width: int, height: int, itemsize: int) -> int:
    """A power of two; itemsize: bytes of a number in the model."""
    pixels = width * height * itemsize / 2
    fit = (0.8 * _free(device) - _VAE * pixels) / (_DENOISER * pixels)
    most = MOST if device.type == "cuda" else MOST_ON_CPU
    return 1 << (max(1, min(most, int(fit))).bit_length() - 1)


def is_lack_of_memory(error: BaseException) -> bool:
    """Libraries below torch say it in words of their own."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("ALLOC_FAILED" in said or "can't allocate memory" in said)


class Batches:
    """Works through items `size` at a time. What did not fit is halved, tried again, and remembered."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Result]]) -> list[Result]:
        """A result an item, in their order. Raises FewposeError where not even one item fits."""
        results: list[Result] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.size]
            done = _try(work, part)
            if done is not None:
                results += done
                continue
            if len(part) == 1:
                raise FewposeError(
                    "not even one image at a time fits into memory: make them smaller (--size), choose a smaller "
                    "model, or free the memory that other programs hold"
                )
            self.size = len(part) // 2
        return results


def _try(work: Callable[[Sequence[Item]], list[Result]], part: Sequence[Item]) -> list[Result] | None:
    """None where memory was too small; by then the error is gone, and with it the frames that held the tensors."""
    try:
        return work(part)
    except (RuntimeError, MemoryError) as error:
        if not is_lack_of_memory(error):
            raise
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on this system
        return 2.0**32
