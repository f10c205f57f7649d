"""Packs of trials in several processes of one machine. A worker that dies takes one trial with it, never the sweep."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from curate.workers.interrupts import ignore_ctrl_c, without_ctrl_c
from fewshot.sweeping.batched_trials import Pack
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.seat import Seat, shared_threads
from fewshot.trials import records
from fewshot.trials.records import Record, Trial

_seat: Any = None  # each worker's own


def run_in_processes(plan: Plan, packs: Sequence[Pack], devices: Sequence[str], advance: Callable[[int], None]) -> None:
    """Run `packs` in processes, one for each of `devices`. `advance` is told how many trials were done.

    When a worker is killed (usually by the system, for want of memory), what was in flight is tried again one by
    one, in ever smaller packs; a trial that kills its worker even alone is recorded as failed.
    """
    waiting = list(reversed(packs))
    threads = shared_threads(len(devices))  # the same ones where a pack is tried again, and so the same result
    while waiting:
        suspects = _run(plan, waiting, devices, threads, advance)
        while suspects:
            for pack in _run(plan, suspects, devices[:1], threads, advance):
                if pack.halves() != [pack]:  # half as many at once may do
                    suspects += reversed(pack.halves())
                    continue
                for trial in pack.missing:
                    record_lost(plan, trial)
                advance(len(pack.missing))


def _run(
    plan: Plan, waiting: list[Pack], devices: Sequence[str], threads: int, advance: Callable[[int], None]
) -> list[Pack]:
    """Take packs from the end of `waiting` and run them, until none is left or a worker dies.

    Returns those that were in flight when it died.
    """
    # "spawn": a forked child inherits torch's thread pools in an unusable state.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    devices = devices[: len(waiting)]
    free = context.SimpleQueue()  # each worker takes a device, and keeps it
    for device in devices:
        free.put(device)
    pool = ProcessPoolExecutor(len(devices), context, initializer=_start, initargs=(plan, free, threads))
    flying: dict[Future[None], Pack] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < len(devices):
                with without_ctrl_c():
                    future = pool.submit(_run_one, waiting[-1])
                flying[future] = waiting.pop()
            finished, _ = wait(flying, return_when=FIRST_COMPLETED)
            # Those that came to an end before those that a dying worker took along.
            for future in sorted(finished, key=lambda each: each.exception() is not None):
                future.result()
                advance(len(flying.pop(future).missing))
    except BrokenProcessPool:
        return list(flying.values())
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            if child not in others:
                child.kill()  # else a long trial is waited for
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        free.close()
    return []


def record_lost(plan: Plan, trial: Trial) -> None:
    """The record of a trial that kills whoever runs it."""
    detail = "its process was killed, probably for want of memory; fewer --workers may do"
    settings = plan.settings.method_settings(trial.method)
    records.write(
        plan.settings.out,
        Record(trial, "failed", plan.settings.model, cause="killed", detail=detail, settings=settings),
        None,
    )


def _start(plan: Plan, free: Any, threads: int) -> None:
    global _seat
    ignore_ctrl_c()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _seat = Seat(plan, free.get(), threads)  # it begins with its first pack: what goes wrong there reaches the parent


def _end_with(parent: BaseProcess) -> None:
    """A worker whose sweep was killed would wait for its next trial for ever, and keep its memory."""
    parent.join()
    os._exit(1)


def _run_one(pack: Pack) -> None:
    _seat.run(pack)
