"""What the C library does with memory that was freed: keeps it for us, or gives it back to the system."""

import ctypes
from contextlib import suppress
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def give_back_freed_memory() -> None:
    """Return it to the system, where that can be done (glibc): after something large, before something that lasts."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed, for the next step of a training, instead of giving it back to the system.

    It maps large blocks one by one otherwise, and the system clears each page again when it is first written to: a step
    of lite0 took 1.35 s of one core so, and 1.1 s without (16 images). The process keeps the most that it ever needed.
    Elsewhere nothing is done.
    """
    with suppress(OSError, AttributeError, TypeError):  # no glibc
        tell = ctypes.CDLL(None).mallopt
        tell(_MMAP_MAX, 0)
        tell(_TRIM_THRESHOLD, 2**31 - 1)
        tell(_TOP_PAD, 2**26)
