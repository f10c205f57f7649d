"""Trials in several processes of one machine. A worker that dies takes one trial with it, never the sweep."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from curate import models
from fewshot import records
from fewshot.plan import Plan
from fewshot.records import Record, Trial

_runner = None  # each worker's own


def run_in_processes(plan: Plan, trials: list[Trial], advance: Callable[[int], None]) -> None:
    """Run `trials` in `plan.settings.workers` processes.

    When a worker is killed (usually by the system, for want of memory), what was in flight is tried again one by
    one; a trial that kills its worker even alone is recorded as failed.
    """
    suspects = _run(plan, trials, plan.settings.workers, advance)
    for trial in suspects:
        if _run(plan, [trial], 1, advance):
            _record_lost(plan, trial)
            advance(1)
    remaining = [trial for trial in trials if records.read(plan.settings.out, trial) is None]
    if remaining and len(remaining) < len(trials):
        run_in_processes(plan, remaining, advance)


def _run(plan: Plan, trials: list[Trial], workers: int, advance: Callable[[int], None]) -> list[Trial]:
    """Run trials until all are done or a worker dies; then return the trials that were in flight."""
    # "spawn": a forked child inherits torch's thread pools in an unusable state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(plan, workers))
    waiting, flying = list(reversed(trials)), {}
    try:
        while waiting or flying:
            while waiting and len(flying) < workers:
                trial = waiting.pop()
                flying[pool.submit(_run_one, trial)] = trial
            finished, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in finished:
                _result(future)
                del flying[future]
                advance(1)
    except BrokenProcessPool:
        return list(flying.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return []


def _result(future: Future[None]) -> None:
    future.result()


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

    from fewshot.trial import Runner

    global _runner
    threads = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    clip = models.load(plan.settings.model, checkpoint=plan.settings.checkpoint, device=plan.settings.device)
    _runner = Runner(plan, clip)


def _run_one(trial: Trial) -> None:
    assert _runner is not None  # noqa: S101 - set by _start
    _runner.run(trial)
