"""An engine whose workers are other processes: each site belongs to one of them, so that its limits hold.

A worker runs a LocalEngine on its share of the connections. Results come back to the process that asks for them, in
batches that are bounded in bytes, and a worker whose results are not taken stops fetching, as a LocalEngine does:
nothing piles up on the way. Only the process that asked writes anything. A worker that dies is replaced once.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Any, NoReturn

from curate.download.engines.local import Cancellation, Counts, LocalEngine
from curate.download.web import urls
from curate.download.web.job import Answer, Job, Moved, Result
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError
from curate.workers.places import Place, on_each_cpu
from curate.workers.transport import Answer as Answered
from curate.workers.transport import Begun, Handle, Lost, Transport

Fetch = Callable[[Job, Any], Answer | Moved]
MakeFetch = Callable[[], tuple[Fetch, Callable[[], Cancellation]]]
Reply = tuple[list[Result], Counts]  # of a worker

BATCH_BYTES = 8_000_000  # of pictures, in one answer of a worker
SECONDS_TO_TAKE = 0.5  # that a worker waits for a result, before it replies with its counts alone

_BATCH_JOBS = 1000  # in one message to a worker
_CONNECTIONS_EACH = 8  # at least, of a worker: with fewer, a few slow hosts would keep it from all others


@dataclass(eq=False)
class _Shard:
    """What is known of a worker in the process that asked."""

    handle: Handle
    due: dict[Job, float] = field(default_factory=dict)  # jobs whose results have not come: when they may start
    unsent: list[Job] = field(default_factory=list)  # those of them that were not sent to it
    begun: bool = False  # it can be sent jobs, and asked
    asked: bool = False  # for results, which have not come
    counts: Counts | None = None
    died: bool = False


class ShardedEngine:
    """`submit` jobs, `take` results until it is `idle`, then `stop`; from one thread.

    No job may be submitted again before its result was taken. `on_processes` and `on_ray` make one.
    """

    def __init__(self, transport: Transport[Any], places: Sequence[Place], end: Callable[[], object]) -> None:
        """transport: of workers that Worker.make makes, for these places. end: is called when they have ended.

        Raises what a worker raises while it begins.
        """
        self._transport = transport
        self._end = end
        self._stopped = False
        self._shards: list[_Shard] = []
        try:
            self._shards += [_Shard(transport.start(place)) for place in places]
            silent = {shard.handle for shard in self._shards}
            while silent:  # each has begun, or died
                silent -= {handle for handle, _ in self._listen(silent, SECONDS_TO_TAKE)}
        except BaseException:
            self.stop()  # nobody has an engine that they could stop
            raise

    def submit(self, job: Job, delay: float = 0.0) -> None:
        """delay: seconds before it may start."""
        shard = self._shards[_number(urls.site(urls.host(job.target)), len(self._shards))]
        if job in shard.due:
            raise ValueError(f"{job} was submitted before, and its result was not taken")
        shard.due[job] = time.monotonic() + delay
        shard.unsent.append(job)
        if shard.begun and len(shard.unsent) >= _BATCH_JOBS:
            self._send(shard)

    def take(self, timeout: float) -> list[Result]:
        """The results that are there, or the first to come; none after `timeout` seconds, or after `stop`.

        Raises what `fetch` raised, and FewposeError where a worker dies a second time.
        """
        end = time.monotonic() + timeout
        while not self._stopped:
            results = self._receive(max(0.0, end - time.monotonic()))
            if results or time.monotonic() >= end:
                return results
        return []

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is in flight, every result was taken."""
        return not any(shard.due for shard in self._shards)

    def counts(self) -> Counts:
        """As of some moment in the last second."""
        known = [shard.counts for shard in self._shards if shard.due and shard.counts]
        in_flight = sum(each.in_flight for each in known)
        return Counts(
            waiting=max(0, sum(len(shard.due) for shard in self._shards) - in_flight),
            in_flight=in_flight,
            aside=sum(each.aside for each in known),
            slowest=max((each.slowest for each in known if each.slowest), key=lambda slow: slow[2], default=None),
        )

    def stop(self) -> None:
        """End the workers. What they were about is lost, and so are the results that were not taken."""
        if not self._stopped:
            self._stopped = True
            self._end()

    def _receive(self, timeout: float) -> list[Result]:
        """What the first worker to answer brings, and others that have answered as well."""
        for shard in filter(lambda shard: shard.begun, self._shards):
            if shard.unsent:
                self._send(shard)
            if shard.due and not shard.asked:
                self._transport.ask(shard.handle, SECONDS_TO_TAKE)
                shard.asked = True
        if self.idle:
            time.sleep(timeout)
            return []
        heard = self._listen([shard.handle for shard in self._shards], timeout)
        return [result for _, results in heard for result in results]

    def _send(self, shard: _Shard) -> None:
        now = time.monotonic()
        jobs = [(job, max(0.0, shard.due[job] - now)) for job in shard.unsent]
        shard.unsent.clear()
        self._transport.tell(shard.handle, jobs)

    def _listen(self, handles: Iterable[Handle], timeout: float) -> list[tuple[Handle, list[Result]]]:
        shards = {shard.handle: shard for shard in self._shards}
        heard = []
        for handle, event in self._transport.listen(handles, timeout):
            results: list[Result] = []
            match event:
                case Begun():
                    shards[handle].begun = True
                case Answered():
                    results = _noted(shards[handle], event.value)
                case Lost():
                    self._replace(shards[handle], event)
            heard.append((handle, results))
        return heard

    def _replace(self, shard: _Shard, lost: Lost) -> None:
        """Start a worker for one that died; it is given all jobs that the old one had and gave no result of."""
        if shard.died:
            _give_up(lost)
        fresh = _Shard(self._transport.replace(shard.handle), shard.due, list(shard.due), died=True)
        self._shards[self._shards.index(shard)] = fresh


def _noted(shard: _Shard, reply: Reply) -> list[Result]:
    """The results of a worker's reply, once they are taken from what it still owes."""
    results, shard.counts = reply
    shard.asked = False
    for result in results:
        del shard.due[result.job]
    return results


def _give_up(lost: Lost) -> NoReturn:
    raise FewposeError(
        f"a worker died twice ({lost.why}): look for the cause (often it is out of memory), then give the same command"
        " again; it goes on where it stopped"
    )


class Worker:
    """What runs in a worker: it is sent jobs, with the seconds before each may start, and asked for results."""

    def __init__(self, make_fetch: MakeFetch, settings: Settings) -> None:
        fetch, make_cancellation = make_fetch()
        self._engine: LocalEngine[Cancellation] = LocalEngine(fetch, make_cancellation, settings)

    @staticmethod
    def make(make_fetch: MakeFetch, shares: Sequence[Settings], place: Place) -> "Worker":
        return Worker(make_fetch, shares[place.number])

    def tell(self, jobs: Iterable[tuple[Job, float]]) -> None:
        for job, delay in jobs:
            self._engine.submit(job, delay)

    def __call__(self, timeout: float) -> Reply:
        return self._engine.take(timeout, BATCH_BYTES), self._engine.counts()


def on_processes(make_fetch: MakeFetch, settings: Settings, processes: int) -> ShardedEngine:
    """An engine on so many processes of this machine, or fewer if they had too little to do.

    make_fetch: called once in each, for what LocalEngine is given; something that pickle can name.
    Raises what `make_fetch` raised, and FewposeError where the system starts no more processes.
    """
    from curate.workers.processes import Processes

    shares = _shares(settings, processes)
    threads = max(1, (os.cpu_count() or 1) // len(shares))
    places = [Place(number, threads=threads) for number in range(len(shares))]
    transport = Processes(partial(Worker.make, make_fetch, shares))
    return ShardedEngine(transport, places, transport.stop)


def on_ray(make_fetch: MakeFetch, settings: Settings, workers: int = 0, address: str = "") -> ShardedEngine:
    """An engine on so many workers of a Ray cluster, or fewer if they had too little to do; 0: one for each CPU.

    make_fetch: called once in each worker, for what LocalEngine is given; Ray must be able to pickle it.
    address: see WorkerSettings. Raises UsageError without Ray, FewposeError where the cluster can't be reached or has
    no CPU.
    """
    from curate.workers.cluster import Actors, Cluster

    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(address))
        there = on_each_cpu(cluster.nodes())
        shares = _shares(settings, workers or len(there))
        places = [replace(there[number % len(there)], number=number) for number in range(len(shares))]
        # No CPU is claimed: a worker mostly waits for the network, and would wait for ever in a cluster that is full.
        make = partial(Worker.make, make_fetch, shares)
        transport = stack.enter_context(Actors(cluster, make, {"num_cpus": 0}, messages=True))
        return ShardedEngine(transport, places, stack.pop_all().close)


def _shares(settings: Settings, most: int) -> list[Settings]:
    """The settings of each worker: of `most`, or of as many as have enough connections."""
    number = min(most, max(1, settings.connections // _CONNECTIONS_EACH))
    sizes = [settings.connections // number + (index < settings.connections % number) for index in range(number)]
    return [replace(settings, connections=size) for size in sizes]


def _number(site: str, workers: int) -> int:
    """The worker that a site belongs to."""
    return int.from_bytes(blake2b(site.encode(), digest_size=8).digest()) % workers
