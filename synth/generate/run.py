"""`synth generate`: what the plan lacks is made, written, and given its rows in the image table.

An image file is the mark that an image is done; there is no other state. So a run can be stopped at any moment, were it
by `kill -9`, and the same command goes on. What it had made counts from the next time that a run ends, by itself or by
Ctrl-C.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation import console, locks
from curate.foundation.errors import FewposeError
from synth.generate import making, refused, writing
from synth.generate.adopt import Adopted, adopt
from synth.generate.image_job import Shot
from synth.generate.making import Maker, Order, Reply, Resources
from synth.generate.plan import Wanted, digest
from synth.generate.plan import plan as planned
from synth.generate.settings import WITHOUT_WEIGHTS, Settings
from synth.generate.writing import Became

_LOCK = ".generate.lock"  # in the collection
_FEW = 8  # images, below which another process takes longer to begin than they take
_SECONDS_TO_MENTION = 60.0
_SECONDS_FOR_THE_TABLE = 60.0


@dataclass(frozen=True)
class Planned:
    """What a run would do."""

    root: Path  # of the collection, absolute
    digest: str  # of settings and weights, as in the keys
    shots: list[Shot]  # all
    missing: list[Shot]  # of them, what is neither there nor was refused
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
    adopted: Adopted
    seconds: float  # of making, loading the model included


def foresee(collection: Path, settings: Settings, wanted: Wanted) -> Planned:
    """What `generate` would make; loads no model. Raises as `generate` does."""
    root = collection.absolute()
    opened = Collection.open(root)
    weights = making.weights(settings)
    shots = planned(opened, settings, wanted, weights)
    before = refused.read(root)
    missing = [s for s in shots if s.key not in before and not os.path.lexists(writing.path(root, s))]
    mine = frozenset(before.intersection(shot.key for shot in shots))
    return Planned(root, digest(settings, weights), shots, missing, mine)


def generate(collection: Path, settings: Settings, wanted: Wanted, resources: Resources) -> Summary:
    """Make the images of a plan that are not there, into COLLECTION/images, and give all of them their rows.

    One run at a time may generate into a collection; other commands may work on it meanwhile.
    Raises UsageError for what makes no sense, FewposeError where a model can't be had, a worker dies again and again or
    nothing can be written; KeyboardInterrupt passes. Whatever it is, what was made till then has its rows.
    """
    began = time.monotonic()
    root = collection.absolute()
    Collection.open(root)
    devices = _devices(settings, resources)
    try:
        with _alone(root):
            plan = foresee(root, settings, wanted)
            run = _Run(plan, settings, resources, devices)
            try:
                run.make()
            except BaseException:
                with suppress(FewposeError, OSError):  # what stopped the run is said, and not what came of it
                    _recorded(plan, run.made)
                raise
            seconds = time.monotonic() - began
            adopted = _recorded(plan, run.made, patience=_SECONDS_FOR_THE_TABLE)
    except OSError as error:
        raise FewposeError(f"cannot write {error.filename or collection}: {error.strerror or error}") from error
    return run.summary(adopted, seconds)


class _Run:
    """One run over what is missing."""

    def __init__(self, plan: Planned, settings: Settings, resources: Resources, devices: list[str]) -> None:
        self.plan = plan
        self._label = {shot.key: shot.label for shot in plan.missing}
        self._keys: dict[Became, list[str]] = {became: [] for became in Became}
        kind = "image" if any(shot.source for shot in plan.shots) else "text"
        self._order = Order(plan.root, settings, plan.digest, kind, resources)
        self._devices = devices

    @property
    def made(self) -> frozenset[str]:
        return frozenset(self._keys[Became.MADE])

    def make(self) -> None:
        """Have what is missing made, by whoever is there to make it."""
        if not self.plan.missing:
            return
        with _engine(self._order, self._devices, self.plan.missing) as (replies, workers):
            self._watch(replies, workers)

    def _watch(self, replies: Iterator[Reply], workers: int) -> None:
        next(replies)  # somebody is ready: what loading takes says nothing of the images
        first = self._order.settings.model not in WITHOUT_WEIGHTS and set(self._devices) == {"cpu"}
        with console.progress("generating", len(self.plan.missing), unit="image") as advance:
            for reply in replies:
                for done in reply.done:
                    self._keys[done.became].append(done.key)
                refusals = [done.key for done in reply.done if done.became == Became.REFUSED]
                refused.add(self.plan.root, refusals, self.plan.digest)
                advance(len(reply.done))
                if first and reply.images:
                    first = False
                    self._foretell(reply.seconds / reply.images, workers)

    def _foretell(self, seconds: float, workers: int) -> None:
        """On a CPU, how long all will take, once the first image has told."""
        rest = seconds * (len(self.plan.missing) - 1) / workers
        if rest > _SECONDS_TO_MENTION:
            console.err.print(
                f"an image takes {seconds:.1f} s: about {_duration(rest)} for the others on this CPU; "
                "a GPU is advised. Ctrl-C stops, and the same command goes on.",
                soft_wrap=True,
            )

    def summary(self, adopted: Adopted, seconds: float) -> Summary:
        missing = {shot.key for shot in self.plan.missing}
        earlier = [shot for shot in self.plan.shots if shot.key not in missing]
        labels = {became: Counter(self._label[key] for key in keys) for became, keys in self._keys.items()}
        return Summary(
            root=self.plan.root,
            made=labels[Became.MADE],
            there=Counter(shot.label for shot in earlier if shot.key not in self.plan.refused),
            refused=labels[Became.REFUSED],
            refused_before=Counter(shot.label for shot in earlier if shot.key in self.plan.refused),
            in_the_way=self._keys[Became.IN_THE_WAY],
            adopted=adopted,
            seconds=seconds,
        )


def _devices(settings: Settings, resources: Resources) -> list[str]:
    """Of each process on this machine. Raises UsageError for one that is not there."""
    if settings.model in WITHOUT_WEIGHTS:
        return ["cpu"] * (resources.workers or os.cpu_count() or 1)
    if resources.engine == "ray":
        return [resources.device]
    import torch

    from curate.models.clip_models import choose_device

    device = choose_device(resources.device)
    cards = torch.cuda.device_count() if device.type == "cuda" and device.index is None else 0
    if cards:
        return [f"cuda:{number % cards}" for number in range(resources.workers or cards)]
    return [str(device)] * (resources.workers or 1)


@contextmanager
def _engine(order: Order, devices: list[str], shots: Sequence[Shot]) -> Iterator[tuple[Iterator[Reply], int]]:
    """The replies of the engine that suits, and how many workers they come from."""
    with ExitStack() as stack:
        if order.resources.engine == "ray":
            from synth.generate.cluster import Cluster

            cluster = stack.enter_context(Cluster(order, len(shots)))
            yield cluster.work(shots), cluster.size
            return
        at_most = len(shots) if order.resources.workers else max(1, len(shots) // _FEW)
        if order.settings.model not in WITHOUT_WEIGHTS:
            at_most = len(shots)
        devices = devices[:at_most]
        if len(devices) == 1:
            yield _here(stack.enter_context(Maker(order, devices[0])), shots), 1
            return
        from synth.generate.processes import Processes

        processes = stack.enter_context(Processes(order, devices))
        yield processes.work(shots), processes.size


def _here(maker: Maker, shots: Sequence[Shot]) -> Iterator[Reply]:
    """In this process."""
    yield (ready := maker.ready())
    batch, begin = ready.batch, 0
    while begin < len(shots):
        reply = maker.make(shots[begin : begin + batch])
        begin += batch
        batch = reply.batch
        yield reply
    yield maker.make([])


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Be the only run that generates into this collection; what a killed one was writing is removed.

    The lock goes with the process, however it ends. Raises FewposeError where another run holds it.
    """

    def refusal(who: str) -> FewposeError:
        return FewposeError(f"another synth generate works on {root} ({who}); wait until it has ended")

    unfinished = root / writing.UNFINISHED
    with locks.held(root / _LOCK, refusal):
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
            return adopt(plan.root, plan.shots, made)
        except FewposeError as error:
            if time.monotonic() >= end:
                raise FewposeError(f"the images are made, but not in the image table yet: {error}") from error
        time.sleep(1.0)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1.0, seconds / 60):.0f} min"
