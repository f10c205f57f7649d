"""Ctrl-C reaches every process of a terminal, but only the command's own process acts on it; its workers ignore it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """A process that starts in this block gets no Ctrl-C, not even while it still imports.

    It should call `ignore_ctrl_c` first of all, since libraries unblock what they find blocked.
    """
    if sys.platform == "win32":  # has no signal masks: the process ignores Ctrl-C from `ignore_ctrl_c` on
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else it starts with the process, and unblocks what is blocked here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_ctrl_c() -> None:
    """For the main thread of a process that its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
