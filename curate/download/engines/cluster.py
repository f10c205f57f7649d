"""The same engine on a Ray cluster: each site belongs to one worker, so its limits hold, however many there are."""

import time
from dataclasses import dataclass, field
from typing import Any

from curate.download.engines.shards import SECONDS_TO_TAKE, MakeFetch, Shard, ShardedEngine, Worker
from curate.download.web.job import Job, Result
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError
from curate.workers import cluster


@dataclass(eq=False)
class _Actor(Shard):
    actor: Any = None
    replies: list[Any] = field(default_factory=list)  # references to what it will say
    taking: Any = None  # the one of them that will bring results


class RayEngine(ShardedEngine[_Actor]):
    """See ShardedEngine. A worker is a Ray actor, one for each CPU of the cluster."""

    def __init__(self, make_fetch: MakeFetch, settings: Settings) -> None:
        """
        make_fetch: called once in each worker, for what LocalEngine is given; Ray must be able to pickle it.

        Connects to the cluster at RAY_ADDRESS, or to a Ray of this machine alone, which `stop` ends.
        Raises UsageError without Ray, FewposeError where the cluster can't be reached or has no CPU.
        """
        self._ray = cluster.ray()
        self._ours = cluster.connect(self._ray)  # else somebody else ends it
        self._make_fetch = make_fetch
        super().__init__(settings, len(_places(self._ray)))

    def stop(self) -> None:
        if not self._stopped:
            super().stop()
            if self._ours:
                self._ray.shutdown()

    def _start(self, index: int, settings: Settings) -> _Actor:
        on_node = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        places = _places(self._ray)
        # No CPU is claimed: a worker mostly waits for the network, and would wait for ever in a cluster that is full.
        actor = self._ray.remote(Worker).options(
            num_cpus=0,
            max_concurrency=2,  # jobs come in while `take` waits
            scheduling_strategy=on_node(places[index % len(places)], soft=False),
        )
        return _Actor(index, settings, actor=actor.remote(self._make_fetch, settings))

    def _end(self, shard: _Actor) -> None:
        self._ray.kill(shard.actor)

    def _tell(self, shard: _Actor, jobs: list[tuple[Job, float]]) -> None:
        shard.replies.append(shard.actor.submit.remote(jobs))

    def _receive(self, timeout: float) -> list[Result]:
        for shard in self._shards:
            self._ask(shard)
        pending = {reply: shard for shard in self._shards for reply in shard.replies}
        if not pending:
            time.sleep(timeout)
            return []
        ready, others = self._ray.wait(list(pending), timeout=timeout)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [result for reply in ready for result in self._open(pending[reply], reply)]

    def _ask(self, shard: _Actor) -> None:
        """See to it that a worker has its jobs, and that its results are on their way."""
        if shard.unsent:
            self._send(shard)
        if shard.due and shard.taking not in shard.replies:
            shard.taking = shard.actor.take.remote(SECONDS_TO_TAKE)
            shard.replies.append(shard.taking)

    def _open(self, shard: _Actor, reply: Any) -> list[Result]:
        if shard not in self._shards:  # it died, as another reply of it told us
            return []
        shard.replies.remove(reply)
        errors = self._ray.exceptions
        try:
            return self._settle(shard, self._ray.get(reply))
        except errors.RayTaskError:  # a fault in our code over there: it is an exception of that kind here, too
            raise
        except errors.RayError as error:
            self._replace(shard, "Ray worker", error)
            return []


def _places(ray: Any) -> list[str]:
    """A node id for each CPU of the cluster, such that any first few are spread over as many nodes as there are."""
    nodes = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
    places = [node for turn in range(max(nodes.values(), default=0)) for node in sorted(nodes) if turn < nodes[node]]
    if not places:
        raise FewposeError("the Ray cluster has no node with a CPU: add one, or leave out --engine ray")
    return places
