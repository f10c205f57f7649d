"""Where batches of trials are run: in this process, in several of this machine, or on a Ray cluster.

Workers write records into the sweep's directory and read the collection's cache; each of them is sent the plan, once,
and then batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from curate.foundation import console
from curate.models.clip_models import ClipModel
from curate.models.same_model import SameModel
from curate.pose import keypoints
from curate.sweeps import records
from curate.sweeps.records import Record
from curate.workers.opening import Shared, in_this_process, open_pool
from curate.workers.places import CPUS_OF_A_MODEL, Needs, Place
from curate.workers.pool import GivenUp
from fewshot.sweeping.batched_trials import TrialBatch, in_work_order
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.trial import Runner
from fewshot.training.deterministic import deterministic


def run(plan: Plan, clip: ClipModel, batches: list[TrialBatch]) -> None:
    """Run batches wherever the settings say. Raises FewposeError where no batch can be run."""
    settings, trials = plan.settings, sum(len(batch.missing) for batch in batches)
    with deterministic(settings.compute.deterministic):
        runner = Runner(plan, clip)  # decodes and embeds in this process, for all
        if in_this_process(settings.work, _needs(plan)):
            with console.progress("trials", trials, "trial") as advance:
                for batch in batches:
                    runner.run(batch)
                    advance(len(batch.missing))
            return
    del runner
    if clip.device.type == "cuda":
        torch.cuda.empty_cache()  # for the worker on this card
    make = WorkerFactory(_with_absolute_paths(plan), SameModel.as_(clip, settings.clip.checkpoint))
    with console.progress("trials", trials, "trial") as advance:
        hand_out(plan, make, in_work_order(batches), advance)


@dataclass(frozen=True)
class WorkerFactory:
    """Makes workers that run batches: each with the model, a device and so many threads."""

    plan: Plan
    model: SameModel

    def __call__(self, place: Place) -> Callable[[TrialBatch], None]:
        torch.set_num_threads(place.threads)
        threadpool_limits(place.threads)
        asked = self.plan.settings.compute.deterministic
        with deterministic(asked):
            runner = Runner(self.plan, self.model.load(place.device))

        def write_records(batch: TrialBatch) -> None:
            with deterministic(asked):
                runner.run(batch)

        return write_records


def hand_out(
    plan: Plan,
    make: Callable[[Place], Callable[[TrialBatch], None]],
    batches: Sequence[TrialBatch],
    advance: Callable[[int], None],
) -> None:
    """Have workers run `batches`. `advance` is called with the number of trials that were done.

    A trial whose worker dies even when it is run alone is recorded as failed (usually the system kills it for want of
    memory).
    """
    settings = plan.settings
    collection = settings.opened()
    elsewhere = (collection.cache(),) if collection.caches else ()
    read = [collection.file("images.parquet"), *filter(Path.exists, [collection.file(keypoints.TABLE)])]
    shared = Shared(settings.out, tuple(read), elsewhere)
    with open_pool(
        make, settings.work, most=len(batches), needs=_needs(plan), halves=TrialBatch.halves, shared=shared
    ) as pool:
        for batch, result in pool.run(batches):
            if isinstance(result, GivenUp):
                _record_lost(plan, batch)
            advance(len(batch.missing))


def _record_lost(plan: Plan, batch: TrialBatch) -> None:
    detail = "its process was killed, probably for want of memory; fewer --workers may do"
    for trial in batch.missing:
        resolved = plan.settings.resolved(trial.method).fields()
        record = Record(trial, "failed", plan.settings.clip.model, cause="killed", detail=detail, **resolved)
        records.write(plan.settings.out, record, None)


def _needs(plan: Plan) -> Needs:
    return Needs(plan.settings.compute.device, CPUS_OF_A_MODEL)


def _with_absolute_paths(plan: Plan) -> Plan:
    """The plan for workers whose working directory is another, and whose environment may name no caches."""
    settings = plan.settings
    there = settings.opened().absolute()
    absolute = settings.replaced(collection=there.root, out=settings.out.resolve(), cache=there.caches)
    return replace(plan, settings=absolute)
