"""What an engine does whose workers are other processes: each site belongs to one worker, so that its limits hold.

A worker runs a LocalEngine on its share of the connections. Results come back to the process that asked, in batches
that are bounded in bytes, and a worker whose results are not taken stops fetching, as a LocalEngine does: nothing piles
up on the way. Only the process that asked writes anything. A worker that dies is replaced once.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Generic, NoReturn, TypeVar

from curate.download.engines.local import Counts, Line, LocalEngine
from curate.download.web import urls
from curate.download.web.job import Answer, Job, Moved, Result
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError

Fetch = Callable[[Job, Any], Answer | Moved]
MakeFetch = Callable[[], tuple[Fetch, Callable[[], Line]]]
Reply = tuple[list[Result], Counts]  # of a worker

BATCH_BYTES = 8_000_000  # of pictures, in one message of a worker
SECONDS_TO_TAKE = 0.5  # that a worker waits for a result; it then says how it goes

_BATCH_JOBS = 1000  # in one message to a worker
_CONNECTIONS_EACH = 8  # at least, of a worker: with fewer, a few slow hosts would keep it from all others


@dataclass(eq=False)
class Shard:
    """What is known of a worker in the process that asked."""

    index: int
    settings: Settings
    due: dict[Job, float] = field(default_factory=dict)  # jobs whose results have not come: when they may start
    unsent: list[Job] = field(default_factory=list)  # those of them that it has not been told of
    counts: Counts | None = None
    died: bool = False


_S = TypeVar("_S", bound=Shard)


class ShardedEngine(ABC, Generic[_S]):
    """`submit` jobs, `take` results until it is `idle`, then `stop`; from one thread.

    No job may be submitted again before its result was taken.
    """

    def __init__(self, settings: Settings, most_workers: int) -> None:
        """settings: the connections are shared out among the workers, no more of these than have enough to do."""
        number = min(most_workers, max(1, settings.connections // _CONNECTIONS_EACH))
        self._stopped = False
        self._shards: list[_S] = []
        try:
            for index, share in enumerate(_shares(settings.connections, number)):
                self._shards.append(self._start(index, replace(settings, connections=share)))
        except BaseException:
            self.stop()  # the others; nobody has an engine that they could stop
            raise

    def submit(self, job: Job, delay: float = 0.0) -> None:
        """delay: seconds before it may start."""
        shard = self._shards[_number(urls.site(urls.host(job.target)), len(self._shards))]
        if job in shard.due:
            raise ValueError(f"{job} was submitted before, and its result was not taken")
        shard.due[job] = time.monotonic() + delay
        shard.unsent.append(job)
        if len(shard.unsent) >= _BATCH_JOBS:
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
            for shard in self._shards:
                self._end(shard)

    @abstractmethod
    def _start(self, index: int, settings: Settings) -> _S:
        """A worker that runs a Worker."""

    @abstractmethod
    def _end(self, shard: _S) -> None:
        """Kill it, if it still lives."""

    @abstractmethod
    def _tell(self, shard: _S, jobs: list[tuple[Job, float]]) -> None:
        """Have a worker told of jobs, with the seconds before each may start."""

    @abstractmethod
    def _receive(self, timeout: float) -> list[Result]:
        """What the first message of a worker brings, and others that are there as well."""

    # For those who provide the above

    def _send(self, shard: _S) -> None:
        now = time.monotonic()
        jobs = [(job, max(0.0, shard.due[job] - now)) for job in shard.unsent]
        shard.unsent.clear()
        self._tell(shard, jobs)

    def _settle(self, shard: _S, reply: Reply) -> list[Result]:
        results, shard.counts = reply
        for result in results:
            del shard.due[result.job]
        return results

    def _replace(self, shard: _S, kind: str, error: BaseException | None) -> None:
        """Start a worker for one that died; it is given all jobs that the old one had and gave no result of."""
        if shard.died:
            _give_up(kind, error)
        self._end(shard)  # it may only be out of reach, and must not ask anybody any more
        fresh = self._start(shard.index, shard.settings)
        fresh.due, fresh.unsent, fresh.died = shard.due, list(shard.due), True
        self._shards[shard.index] = fresh


def _give_up(kind: str, error: BaseException | None) -> NoReturn:
    raise FewposeError(
        f"a {kind} died twice: look for the cause (often it is out of memory), then give the same command again; it"
        " goes on where it stopped"
    ) from error


class Worker:
    """What runs in a worker."""

    def __init__(self, make_fetch: MakeFetch, settings: Settings) -> None:
        fetch, make_line = make_fetch()
        self._engine: LocalEngine[Line] = LocalEngine(fetch, make_line, settings)

    def submit(self, jobs: Iterable[tuple[Job, float]]) -> Reply:
        for job, delay in jobs:
            self._engine.submit(job, delay)
        return [], self._engine.counts()

    def take(self, timeout: float) -> Reply:
        return self._engine.take(timeout, BATCH_BYTES), self._engine.counts()


def _shares(total: int, number: int) -> list[int]:
    """`total` in `number` shares as equal as can be."""
    return [total // number + (index < total % number) for index in range(number)]


def _number(site: str, workers: int) -> int:
    """The worker that a site belongs to."""
    return int.from_bytes(blake2b(site.encode(), digest_size=8).digest()) % workers
