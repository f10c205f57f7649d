"""Doing a list of independent things in several processes, in order, with no process left behind."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

from curate.foundation.errors import UsageError
from curate.workers.interrupts import ignore_ctrl_c

_THREADS = "OPENBLAS_NUM_THREADS"

Task = TypeVar("Task")
Result = TypeVar("Result")


def count(asked: int | None) -> int:
    """How many processes to use: as asked, or one for each CPU; UsageError for less than one."""
    if asked is not None and asked < 1:
        raise UsageError(f"--workers must be at least 1, not {asked}")
    return asked or os.cpu_count() or 1


def each(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """`work(task)` for every task, in the order of the tasks; in this process when one worker suffices."""
    if workers == 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    # Spawned, not forked: a fork copies whatever locks other threads hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_start)
    try:
        with _one_thread_each():
            results = pool.map(work, tasks, chunksize=2)
        yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start in this block compute with one thread: more would wait for each other's CPUs."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def _start() -> None:
    """In a worker: leave Ctrl-C to the parent, and end with it, even when it is killed."""
    ignore_ctrl_c()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
