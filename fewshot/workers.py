"""Packs of trials in several processes of one machine. A worker that dies takes one trial with it, never the sweep."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from curate import models
from curate.interrupts import ignore_ctrl_c, without_ctrl_c
from fewshot import records
from fewshot.packs import Pack
from fewshot.plan import Plan
from fewshot.records import Record, Trial

_plan: Any = None  # each worker's own, as is the runner that its first trial makes
_runner: Any = None


def run_in_processes(plan: Plan, packs: list[Pack], advance: Callable[[int], None]) -> None:
    """Run `packs` in `plan.settings.workers` processes. `advance` is told how many trials were done.

    When a worker is killed (usually by the system, for want of memory), what was in flight is tried again one by
    one, in ever smaller packs; a trial that kills its worker even alone is recorded as failed.
    """
    waiting = list(reversed(packs))
    while waiting:
        suspects = _run(plan, waiting, plan.settings.workers, advance)
        while suspects:
            for pack in _run(plan, suspects, 1, advance):
                if pack.halves() != [pack]:  # half as many at once may do
                    suspects += reversed(pack.halves())
                    continue
                for trial in pack.missing:
                    _record_lost(plan, trial)
                advance(len(pack.missing))


def _run(plan: Plan, waiting: list[Pack], workers: int, advance: Callable[[int], None]) -> list[Pack]:
    """Take packs from the end of `waiting` and run them, until none is left or a worker dies.

    Returns those that were in flight when it died.
    """
    # "spawn": a forked child inherits torch's thread pools in an unusable state.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(workers, len(waiting)), context, initializer=_start, initargs=(plan, workers))
    flying: dict[Future[None], Pack] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < workers:
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
    return []


def _record_lost(plan: Plan, trial: Trial) -> None:
    detail = "its process was killed, probably for want of memory; fewer --workers may do"
    settings = plan.settings.method_settings(trial.method)
    records.write(
        plan.settings.out,
        Record(trial, "failed", plan.settings.model, cause="killed", detail=detail, settings=settings),
        None,
    )


def _start(plan: Plan, workers: int) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    global _plan
    ignore_ctrl_c()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    threads = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    _plan = plan


def _end_with(parent: BaseProcess) -> None:
    """A worker whose sweep was killed would wait for its next trial for ever, and keep its memory."""
    parent.join()
    os._exit(1)


def _run_one(pack: Pack) -> None:
    from fewshot.trial import Runner

    global _runner
    if _runner is None:  # not in _start: what goes wrong here reaches the parent as it is
        settings = _plan.settings
        _runner = Runner(_plan, models.load(settings.model, checkpoint=settings.checkpoint, device=settings.device))
    _runner.run(pack)
