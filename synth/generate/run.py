"""`synth generate`: what the plan lacks is made, written, and given its rows in the image table.

An image file is the mark that an image is done; there is no other state. So a run can be stopped at any moment, were it
by `kill -9`, and the same command goes on. What it had made counts from the next time that a run ends, by itself or by
Ctrl-C.
"""

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation import console, locks
from curate.foundation.errors import Busy, FewposeError
from curate.workers.opening import Shared, open_pool
from curate.workers.places import CPUS_OF_A_MODEL, Needs
from curate.workers.pool import GivenUp, Pool, in_halves
from synth.generate import making, refused, writing
from synth.generate.adopt import Adopted, adopt
from synth.generate.image_job import ImageJob
from synth.generate.making import Making, Reply
from synth.generate.plan import asked, digest
from synth.generate.plan import plan as planned
from synth.generate.settings import WITHOUT_WEIGHTS, Resources, Settings, Wanted
from synth.generate.writing import Became

_LOCK = ".generate.lock"  # in the collection
_FEW = 8  # images for each process, below which it takes longer to begin than to make them
_SECONDS_TO_MENTION = 60.0
_SECONDS_FOR_THE_TABLE = 60.0


@dataclass(frozen=True)
class Planned:
    """What a run would do."""

    collection: Collection  # absolute
    digest: str  # of settings and weights, as in the keys
    jobs: list[ImageJob]  # all
    missing: list[ImageJob]  # of them, what is neither there nor was refused
    refused: frozenset[str]  # keys, by earlier runs


@dataclass(frozen=True)
class Summary:
    """What a run did. Counts by label are of this run, `there` of before it."""

    root: Path
    made: dict[str, int]
    there: dict[str, int]
    refused: dict[str, int]
    refused_before: dict[str, int]
    in_the_way: list[str]  # keys
    lost: list[str]  # keys of images with which workers died, even alone; the same command tries again
    adopted: Adopted
    seconds: float  # of making, loading the model included


def foresee(
    collection: Path,
    settings: Settings,
    wanted: Wanted,
    resources: Resources | None = None,
    caches: Path | None = None,
) -> Planned:
    """What `generate` would make; loads no model that makes images. Raises as `generate` does.

    resources: whose device must be there; nobody's, unless said. With `--control keypoints`, its workers look for the
    people of photographs whose keypoints are missing.
    """
    opened = Collection.open(collection.absolute(), caches)
    asked(opened, settings, wanted)  # says what is wrong, before torch is loaded for what follows
    if resources is not None:
        _check_device(settings, resources)
    weights = making.weights(settings)
    jobs = planned(opened, settings, wanted, weights, (resources or Resources()).workers)
    before = refused.read(opened)
    missing = [job for job in jobs if job.key not in before and not writing.path(opened, job).exists()]
    mine = frozenset(before.intersection(job.key for job in jobs))
    return Planned(opened, digest(settings, weights), jobs, missing, mine)


def generate(
    collection: Path, settings: Settings, wanted: Wanted, resources: Resources, caches: Path | None = None
) -> Summary:
    """Make the images of a plan that are not there, into COLLECTION/images, and give all of them their rows.

    One run at a time may generate into a collection; other commands may work on it meanwhile. caches: of `Collection`.
    Raises UsageError for what makes no sense, FewposeError where a model can't be had, workers die before they begin or
    nothing can be written; KeyboardInterrupt passes. Whatever it is, what was made till then has its rows.
    """
    began = time.monotonic()
    opened = Collection.open(collection.absolute(), caches)
    try:
        with _alone(opened):
            plan = foresee(collection, settings, wanted, resources, caches)
            run = _Run(plan, settings, resources)
            try:
                run.make()
            except BaseException:
                with suppress(FewposeError, OSError):  # the error that stopped the run is the one to report
                    _recorded(plan, run.made)
                raise
            seconds = time.monotonic() - began
            adopted = _recorded(plan, run.made, patience=_SECONDS_FOR_THE_TABLE)
    except OSError as error:
        raise FewposeError(f"cannot write {error.filename or collection}: {error.strerror or error}") from error
    return run.summary(adopted, seconds)


class _Run:
    """One run over what is missing."""

    def __init__(self, plan: Planned, settings: Settings, resources: Resources) -> None:
        self.plan = plan
        self._label = {job.key: job.label for job in plan.missing}
        self._keys: dict[Became, list[str]] = {became: [] for became in Became}
        self._lost: list[str] = []  # keys
        kind = "image" if any(job.source for job in plan.jobs) else "text"
        self._making = Making(plan.collection, settings, plan.digest, kind, resources)
        self._with_model = settings.model not in WITHOUT_WEIGHTS

    @property
    def made(self) -> frozenset[str]:
        return frozenset(self._keys[Became.MADE])

    def make(self) -> None:
        """Have workers make what is missing."""
        if not self.plan.missing:
            return
        asked, many = self._making.resources.workers, len(self.plan.missing)
        with open_pool(
            self._making,
            asked,
            most=many if self._with_model or asked.workers or asked.engine == "ray" else max(1, many // _FEW),
            needs=Needs(self._making.resources.device, CPUS_OF_A_MODEL) if self._with_model else Needs(),
            halves=in_halves,
            shared=Shared(
                self.plan.collection.file(writing.UNFINISHED), (self.plan.collection.file("images.parquet"),)
            ),
        ) as pool:
            pool.ready()  # loading is not counted in the progress
            self._watch(pool)

    def _watch(self, pool: Pool[Sequence[ImageJob], Reply]) -> None:
        slow = self._with_model and all(_is_cpu(place.device) for place in pool.places)
        with console.progress("generating", len(self.plan.missing), unit="image") as advance:
            missing = self.plan.missing
            while missing:
                for unit, reply in pool.run(self._units(missing, slow, len(pool.places))):
                    if isinstance(reply, GivenUp):
                        self._lost += [job.key for job in unit]
                        advance(len(unit))
                        continue
                    self._note(reply, advance)
                    if slow and reply.images:
                        slow = False
                        self._announce_duration(reply.seconds / reply.images, len(pool.places))
                for reply in pool.finish():
                    self._note(reply, advance)
                missing = self._unwritten(missing)

    def _unwritten(self, missing: list[ImageJob]) -> list[ImageJob]:
        """What was made, but not written when its worker was lost. Raises FewposeError where that is all."""
        known = {key for keys in (*self._keys.values(), self._lost) for key in keys}
        unwritten = [job for job in missing if job.key not in known]
        if len(unwritten) == len(missing):
            raise FewposeError(
                "workers die while they write, perhaps for want of memory; what was made is kept: "
                "give the same command again, with fewer --workers or a smaller --batch"
            )
        return unwritten

    def _units(self, jobs: list[ImageJob], slow: bool, workers: int) -> list[tuple[ImageJob, ...]]:
        """Jobs that are given to a worker at once. slow: the first goes alone, to measure how long all will take."""
        size = 1
        if self._with_model:
            from synth.generate.batches import MOST, MOST_ON_CPU

            fit = self._making.resources.batch or (MOST_ON_CPU if slow else MOST)
            size = min(fit, math.ceil(len(jobs) / workers))
        first = 1 if slow else size
        return [tuple(jobs[:first])] + [tuple(jobs[begin : begin + size]) for begin in range(first, len(jobs), size)]

    def _note(self, reply: Reply, advance: Callable[[int], None]) -> None:
        for done in reply.done:
            self._keys[done.became].append(done.key)
        refusals = [done.key for done in reply.done if done.became == Became.REFUSED]
        refused.add(self.plan.collection, refusals, self.plan.digest)
        advance(len(reply.done))

    def _announce_duration(self, seconds: float, workers: int) -> None:
        """On a CPU, print how long all will take, as measured on the first image."""
        rest = seconds * (len(self.plan.missing) - 1) / workers
        if rest > _SECONDS_TO_MENTION:
            console.note(
                f"an image takes {seconds:.1f} s: about {_duration(rest)} for the others on this CPU; "
                "a GPU is advised. Ctrl-C stops, and the same command goes on."
            )

    def summary(self, adopted: Adopted, seconds: float) -> Summary:
        missing = {job.key for job in self.plan.missing}
        earlier = [job for job in self.plan.jobs if job.key not in missing]
        labels = {became: Counter(self._label[key] for key in keys) for became, keys in self._keys.items()}
        return Summary(
            root=self.plan.collection.root,
            made=labels[Became.MADE],
            there=Counter(job.label for job in earlier if job.key not in self.plan.refused),
            refused=labels[Became.REFUSED],
            refused_before=Counter(job.label for job in earlier if job.key in self.plan.refused),
            in_the_way=self._keys[Became.IN_THE_WAY],
            lost=self._lost,
            adopted=adopted,
            seconds=seconds,
        )


def _check_device(settings: Settings, resources: Resources) -> None:
    """Raises UsageError for a device that this machine, if the images are made on it, lacks."""
    if settings.model not in WITHOUT_WEIGHTS and resources.workers.engine != "ray":
        from curate.models.clip_models import choose_device

        choose_device(resources.device)


def _is_cpu(device: str) -> bool:
    from curate.models.clip_models import choose_device

    return device == "cpu" or (device == "auto" and choose_device(device).type == "cpu")


@contextmanager
def _alone(collection: Collection) -> Iterator[None]:
    """Be the only run that generates into this collection; what a killed one was writing is removed.

    The lock goes with the process, however it ends. Raises FewposeError where another run holds it.
    """

    def refusal(who: str) -> FewposeError:
        return FewposeError(f"another synth generate works on {collection.root} ({who}); wait until it has ended")

    unfinished = collection.file(writing.UNFINISHED)
    with locks.held(collection.file(_LOCK), refusal):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _recorded(plan: Planned, made: frozenset[str], patience: float = 0.0) -> Adopted:
    """As `adopt`; waits so many seconds while another command is changing the tables."""
    end = time.monotonic() + patience
    while True:
        try:
            return adopt(plan.collection, plan.jobs, made)
        except FewposeError as error:
            if not isinstance(error, Busy) or time.monotonic() >= end:
                raise FewposeError(f"the images are made, but not in the image table yet: {error}") from error
        time.sleep(1.0)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1.0, seconds / 60):.0f} min"
