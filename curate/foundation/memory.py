"""Memory that was freed, and that the C library keeps for us."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return it to the system, where that can be done (glibc): after something large, before something that lasts."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
