"""Packs of trials on a Ray cluster: an actor for each card or share of one, or else for each few CPUs.

The actors write records into the sweep's directory and read the collection's cache, so both must be the same paths on
all machines: a shared file system. Only packs travel, and once to each actor the plan.
"""

import hashlib
import secrets
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError, UsageError
from curate.models.clip_models import ClipModel
from curate.workers import cluster
from curate.workers.interrupts import ignore_ctrl_c
from fewshot.sweeping.batched_trials import Pack
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.seat import Seat
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.workers import record_lost
from fewshot.trials import records

_CPUS_OF_A_MODEL = 8  # at most, for one actor, where there is no card
_SECONDS_TO_LISTEN = 0.5
_SECONDS_TO_BEGIN = 30.0  # after which the user is told what we wait for
_DEATHS = 2  # of actors in one place before one began, or with one pack: then it is no accident


def run_on_ray(plan: Plan, clip: ClipModel, packs: Sequence[Pack], advance: Callable[[int], None]) -> None:
    """Run `packs` on the cluster at `settings.address` or RAY_ADDRESS, or on a Ray of this machine alone.

    `advance` is told how many trials were done. A pack that lost its worker is run again, a second time in halves; a
    trial that loses its worker twice even alone is recorded as failed. What else goes wrong over there is raised here.

    Raises UsageError without Ray or for a device that the cluster lacks, FewposeError where it can't be reached, or
    where its machines don't have this sweep, collection and model.
    """
    ray = cluster.ray()
    ours = cluster.connect(ray, plan.settings.address)  # else somebody else ends it
    try:
        places = _places(ray, plan.settings)
        with _tokens(plan.settings) as tokens:
            order = Order(_everywhere(plan), places.device, places.threads, clip.precision, clip.image_digest, tokens)
            with _Crew(ray, order, places.claim, min(places.number, len(packs))) as crew:
                crew.work(packs, advance)
    finally:
        if ours:
            ray.shutdown()


@dataclass(frozen=True)
class Order:
    """What an actor is to do, and with what: `tokens` are the SHA-256 of files that it must see as we do."""

    plan: Plan
    device: str
    threads: int
    precision: str  # of the frozen features, which were computed where the sweep was begun
    weights: str  # digest of the image tower
    tokens: dict[Path, str]

    def check(self) -> None:
        """Raises FewposeError where this machine has not the sweep or the collection of the one that asks."""
        for file, digest in self.tokens.items():
            if _digest(file) != digest:
                raise FewposeError(
                    f"a worker on {socket.gethostname()} does not see {file.parent} as the machine that asks does; "
                    "with --engine ray, the collection and --out must lie on a file system that all machines share, "
                    "under the same paths"
                )


class Cabin:
    """A Seat in an actor. Its model is loaded by a call, as what a constructor raises would not reach us."""

    def begin(self, order: Order) -> None:
        ignore_ctrl_c()
        order.check()
        self._seat = Seat(order.plan, order.device, order.threads, order.precision)
        if self._seat.begin() != order.weights:
            raise FewposeError(
                f"a worker on {socket.gethostname()} has other weights of {order.plan.settings.model} than the machine "
                "that asks; with --engine ray, all need the same files and the same packages"
            )

    def run(self, pack: Pack) -> None:
        self._seat.run(pack)


@dataclass(eq=False)
class _Worker:
    actor: Any
    reply: Any  # reference to what it will say next: first that it has begun
    pack: Pack | None = None
    begun: bool = False
    deaths: int = 0  # in this place, since one last began


class _Lost(NamedTuple):
    why: str


class _Crew:
    """A context manager: at its end no worker is left, whatever they were doing."""

    def __init__(self, ray: Any, order: Order, claim: dict[str, float], size: int) -> None:
        """claim: what each worker takes of the cluster's resources."""
        self._ray, self._order, self._claim, self._size = ray, order, claim, size
        self._workers: list[_Worker] = []
        self._lost: Counter[Pack] = Counter()  # how often a pack lost its worker

    def __enter__(self) -> Self:
        self._shared = self._ray.put(self._order)
        self._workers += [self._start(0) for _ in range(self._size)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers.clear()

    def work(self, packs: Sequence[Pack], advance: Callable[[int], None]) -> None:
        """Have all of them run, in their order. Raises what a worker raises."""
        waiting = deque(packs)
        told_at: float | None = time.monotonic() + _SECONDS_TO_BEGIN
        while waiting or any(worker.pack for worker in self._workers):
            for worker in self._workers:
                if waiting and worker.begun and worker.pack is None:
                    worker.pack = waiting.popleft()
                    worker.reply = worker.actor.run.remote(worker.pack)
            for worker, said in self._listen():
                advance(self._replace(worker, said, waiting) if isinstance(said, _Lost) else _settle(worker))
            if told_at and time.monotonic() > told_at and not any(worker.begun for worker in self._workers):
                told_at = None
                console.err.print("no worker has begun yet: they load the model, or wait for a place", soft_wrap=True)

    def _start(self, deaths: int) -> _Worker:
        actor = self._ray.remote(Cabin).options(**self._claim, scheduling_strategy="SPREAD").remote()
        return _Worker(actor, actor.begin.remote(self._shared), deaths=deaths)

    def _listen(self) -> list[tuple[_Worker, _Lost | None]]:
        expected = {worker.reply: worker for worker in self._workers if worker.pack or not worker.begun}
        ready, others = self._ray.wait(list(expected), timeout=_SECONDS_TO_LISTEN)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [(expected[reply], self._said(reply)) for reply in ready]

    def _said(self, reply: Any) -> _Lost | None:
        errors = self._ray.exceptions
        try:
            self._ray.get(reply)
        except errors.RayTaskError as error:  # raised by our code over there
            if isinstance(error.cause, FewposeError):
                raise error.cause from None
            raise
        except errors.RayError as error:
            return _Lost(f"Ray says {type(error).__name__}")
        return None

    def _replace(self, worker: _Worker, lost: _Lost, waiting: deque[Pack]) -> int:
        """Another in its place, and its pack is run again. How many trials were given up."""
        self._ray.kill(worker.actor)
        deaths = 0 if worker.begun else worker.deaths + 1
        if deaths == _DEATHS:
            raise FewposeError(
                f"a worker died twice before it began ({lost.why}), for want of memory, or because fewpose is not "
                "installed there; what is done is kept: fewer --workers or a larger --gpu-share may do"
            )
        self._workers[self._workers.index(worker)] = self._start(deaths)
        return self._again(worker.pack, waiting) if worker.pack else 0

    def _again(self, pack: Pack, waiting: deque[Pack]) -> int:
        """Next of all: the pack, or what is made of it. How many trials were given up."""
        self._lost[pack] += 1
        if self._lost[pack] < _DEATHS:
            waiting.appendleft(pack)
            return 0
        parts = pack.halves()
        if parts != [pack]:  # half as many at once may do
            self._lost.update(dict.fromkeys(parts, _DEATHS - 1))
            waiting.extendleft(reversed(parts))
            return 0
        for trial in pack.missing:
            record_lost(self._order.plan, trial)
        return len(pack.missing)


def _settle(worker: _Worker) -> int:
    """A worker has begun, or is done with its pack. How many trials that were."""
    done = len(worker.pack.missing) if worker.pack else 0
    worker.begun, worker.pack = True, None
    return done


class _Places(NamedTuple):
    """Where actors find room: what each claims, how many there can be, and what each makes of it."""

    claim: dict[str, float]
    number: int
    device: str
    threads: int


def _places(ray: Any, settings: SweepSettings) -> _Places:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cards = sum(int(node.get("GPU", 0)) for node in nodes)
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if settings.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {settings.device}: with --engine ray it is auto, cpu or cuda; Ray chooses which")
    if settings.device == "cuda" and not cards:
        raise UsageError("--device cuda: the Ray cluster has no GPU; add one, or use --device cpu")
    if cards and settings.device != "cpu":
        there = cards * int(1 / settings.gpu_share + 1e-9)
        number = min(there, settings.workers or there)
        return _Places({"num_gpus": settings.gpu_share, "num_cpus": 0}, number, "cuda", max(1, sum(cpus) // there))
    if not any(cpus):
        raise FewposeError("the Ray cluster has no node with a CPU: add one, or leave out --engine ray")
    each = _cpus_each(cpus, settings.workers)
    there = sum(count // each for count in cpus)
    return _Places({"num_cpus": each}, min(there, settings.workers or there), "cpu", each)


def _cpus_each(cpus: Sequence[int], workers: int) -> int:
    """The most with which so many workers find a place on nodes of so many CPUs; 0 workers: as suits a model."""
    most = min(_CPUS_OF_A_MODEL, max(cpus))
    fitting = (each for each in range(most, 1, -1) if sum(count // each for count in cpus) >= workers)
    return next(fitting, 1)


@contextmanager
def _tokens(settings: SweepSettings) -> Iterator[dict[Path, str]]:
    """A file in the sweep's directory that is nowhere else, and the collection's table, with their digests."""
    out, content = settings.out.resolve(), secrets.token_hex(16)
    token = out / f".writing-{content[:8]}.json"  # after a kill, the next sweep clears away what has such a name
    with records.told(settings.out):
        atomic.write_text(token, content)
    table = settings.collection.resolve() / "images.parquet"
    try:
        yield {file: _digest(file) for file in (token, table)}
    finally:
        token.unlink(missing_ok=True)


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "none"


def _everywhere(plan: Plan) -> Plan:
    """With paths that mean the same in another working directory."""
    settings = plan.settings
    checkpoint = settings.checkpoint and settings.checkpoint.resolve()
    absolute = replace(
        settings, collection=settings.collection.resolve(), out=settings.out.resolve(), checkpoint=checkpoint
    )
    return replace(plan, settings=absolute)
