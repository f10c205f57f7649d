"""The same engine on a Ray cluster: each site belongs to one worker, so that its limits hold, however many there are.

A worker is a Ray actor that runs a LocalEngine. Results come back to the process that asked, in batches that are
bounded in bytes, and a worker whose results are not taken stops fetching, as a LocalEngine does: nothing piles up on
the way. Only the process that asked writes anything.
"""

import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from curate.download import urls
from curate.download.job import Answer, Job, Moved, Result
from curate.download.local import Counts, Line, LocalEngine
from curate.download.settings import Settings
from curate.errors import FewposeError, UsageError

Fetch = Callable[[Job, Any], Answer | Moved]
MakeLine = Callable[[], Line]

_BATCH_BYTES = 8_000_000  # of pictures, in one message of a worker
_BATCH_JOBS = 1000  # in one message to a worker
_SECONDS_TO_TAKE = 0.5  # that a worker waits for a result; it then says how it goes
_CONNECTIONS_EACH = 8  # at least, of a worker: with fewer, a few slow hosts would keep it from all others
_SECONDS_TO_KNOCK = 10.0
_STORE_BYTES = 200_000_000  # of Ray's object store, where we start Ray


class RayEngine:
    """`submit` jobs, `take` results until it is `idle`, then `stop`; from one thread.

    No job may be submitted again before its result was taken.
    """

    def __init__(self, make_fetch: Callable[[], tuple[Fetch, MakeLine]], settings: Settings) -> None:
        """
        make_fetch: called once in each worker, for what LocalEngine is given; Ray must be able to pickle it.
        settings: the connections are shared out among the workers, one for each CPU of the cluster.

        Connects to the cluster at RAY_ADDRESS, or to a Ray of this machine alone, which `stop` ends.
        Raises UsageError without Ray, FewposeError where the cluster can't be reached or has no CPU.
        """
        self._ray = _ray()
        self._ours = _connect(self._ray)  # else somebody else ends it
        self._make_fetch = make_fetch
        self._stopped = False
        number = min(len(_places(self._ray)), max(1, settings.connections // _CONNECTIONS_EACH))
        self._workers = [
            self._start(index, replace(settings, connections=share))
            for index, share in enumerate(_shares(settings.connections, number))
        ]

    def submit(self, job: Job, delay: float = 0.0) -> None:
        """delay: seconds before it may start."""
        worker = self._workers[_number(urls.site(urls.host(job.target)), len(self._workers))]
        if job in worker.due:
            raise ValueError(f"{job} was submitted before, and its result was not taken")
        worker.due[job] = time.monotonic() + delay
        worker.unsent.append(job)
        if len(worker.unsent) >= _BATCH_JOBS:
            self._send(worker)

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
        return not any(worker.due for worker in self._workers)

    def counts(self) -> Counts:
        """As of some moment in the last second."""
        known = [worker.counts for worker in self._workers if worker.due and worker.counts]
        in_flight = sum(each.in_flight for each in known)
        return Counts(
            waiting=max(0, sum(len(worker.due) for worker in self._workers) - in_flight),
            in_flight=in_flight,
            aside=sum(each.aside for each in known),
            slowest=max((each.slowest for each in known if each.slowest), key=lambda slow: slow[2], default=None),
        )

    def stop(self) -> None:
        """End the workers. What they were about is lost, and so are the results that were not taken."""
        if self._stopped:
            return
        self._stopped = True
        for worker in self._workers:
            self._ray.kill(worker.actor)
        if self._ours:
            self._ray.shutdown()

    def _receive(self, timeout: float) -> list[Result]:
        """What the first message of a worker brings, and others that are there as well."""
        for worker in self._workers:
            self._ask(worker)
        pending = {reply: worker for worker in self._workers for reply in worker.replies}
        if not pending:
            time.sleep(timeout)
            return []
        ready, others = self._ray.wait(list(pending), timeout=timeout)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [result for reply in ready for result in self._open(pending[reply], reply)]

    def _ask(self, worker: "_Worker") -> None:
        """See to it that a worker has its jobs, and that its results are on their way."""
        if worker.unsent:
            self._send(worker)
        if worker.due and worker.taking not in worker.replies:
            worker.taking = worker.actor.take.remote(_SECONDS_TO_TAKE)
            worker.replies.append(worker.taking)

    def _send(self, worker: "_Worker") -> None:
        now = time.monotonic()
        jobs = [(job, max(0.0, worker.due[job] - now)) for job in worker.unsent]
        worker.replies.append(worker.actor.submit.remote(jobs))
        worker.unsent.clear()

    def _open(self, worker: "_Worker", reply: Any) -> list[Result]:
        if reply not in worker.replies:  # of one that died, as another reply of it told us
            return []
        worker.replies.remove(reply)
        errors = self._ray.exceptions
        try:
            results, worker.counts = self._ray.get(reply)
        except errors.RayTaskError:  # a fault in our code over there: it is an exception of that kind here, too
            raise
        except errors.RayError as error:
            self._replace(worker, error)
            return []
        for result in results:
            del worker.due[result.job]
        return results

    def _replace(self, worker: "_Worker", error: Exception) -> None:
        """A new actor for one that died; it is given all jobs that the old one had and gave no result of."""
        if worker.died:
            raise FewposeError(
                "a Ray worker died twice: look for the cause in the logs of Ray (often it is out of memory, or fewpose"
                " is not installed on a node), then give the same command again; it goes on where it stopped"
            ) from error
        self._ray.kill(worker.actor)  # it may only be out of reach, and must not ask anybody any more
        fresh = self._start(worker.index, worker.settings)
        worker.actor, worker.taking, worker.counts, worker.died = fresh.actor, None, None, True
        worker.replies.clear()
        worker.unsent[:] = worker.due

    def _start(self, index: int, settings: Settings) -> "_Worker":
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        places = _places(self._ray)
        # No CPU is claimed: a worker mostly waits for the network, and would wait for ever in a cluster that is full.
        actor = self._ray.remote(_Actor).options(
            num_cpus=0,
            max_concurrency=2,  # jobs come in while `take` waits
            scheduling_strategy=NodeAffinitySchedulingStrategy(places[index % len(places)], soft=False),
        )
        return _Worker(index, settings, actor.remote(self._make_fetch, settings))


@dataclass
class _Worker:
    """What is known here of a worker."""

    index: int
    settings: Settings
    actor: Any
    due: dict[Job, float] = field(default_factory=dict)  # jobs whose results have not come: when they may start
    unsent: list[Job] = field(default_factory=list)  # those of them that it has not been told of
    replies: list[Any] = field(default_factory=list)  # references to what it will say
    taking: Any = None  # the one of them that will bring results
    counts: Counts | None = None
    died: bool = False


class _Actor:
    """What runs in a worker. Each reply is (results, counts), so that all are read in the same way."""

    def __init__(self, make_fetch: Callable[[], tuple[Fetch, MakeLine]], settings: Settings) -> None:
        fetch, make_line = make_fetch()
        self._engine: LocalEngine[Line] = LocalEngine(fetch, make_line, settings)

    def submit(self, jobs: Iterable[tuple[Job, float]]) -> tuple[list[Result], Counts]:
        for job, delay in jobs:
            self._engine.submit(job, delay)
        return [], self._engine.counts()

    def take(self, timeout: float) -> tuple[list[Result], Counts]:
        return self._engine.take(timeout, _BATCH_BYTES), self._engine.counts()


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'fewpose[ray]'") from error
    return ray


def _connect(ray: Any) -> bool:
    """True where there was no connection before."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _knock(address)
            ray.init(address, **quiet)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # our user was not asked whether Ray may call home
            ray.init("local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        where = f"no Ray cluster answers at RAY_ADDRESS={address}" if address else "Ray does not start here"
        raise FewposeError(f"{where} ({error}); without --engine ray, it works without Ray") from error
    return True


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # not "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_KNOCK).close()


def _places(ray: Any) -> list[str]:
    """A node id for each CPU of the cluster, such that any first few are spread over as many nodes as there are."""
    nodes = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
    places = [node for turn in range(max(nodes.values(), default=0)) for node in sorted(nodes) if turn < nodes[node]]
    if not places:
        raise FewposeError("the Ray cluster has no node with a CPU: add one, or leave out --engine ray")
    return places


def _shares(total: int, number: int) -> list[int]:
    """`total` in `number` shares as equal as can be."""
    return [total // number + (index < total % number) for index in range(number)]


def _number(site: str, workers: int) -> int:
    """The worker that a site belongs to."""
    return int.from_bytes(blake2b(site.encode(), digest_size=8).digest()) % workers
