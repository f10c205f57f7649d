"""A team of Ray actors: one for each GPU of the cluster, or for each few of its CPUs.

They write into the collection's directory, which must be the same path on all machines: a shared file system.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.foundation.errors import FewposeError, UsageError
from curate.workers import cluster
from synth.generate.image_job import Shot
from synth.generate.making import Maker, Order, Reply
from synth.generate.settings import WITHOUT_WEIGHTS
from synth.generate.team import Lost, Team, Worker

_CPUS_OF_A_MODEL = 8  # for one actor, where there is no GPU


@dataclass(eq=False)
class _Actor(Worker):
    actor: Any = None
    replies: list[Any] = field(default_factory=list)  # references, in the order in which they will come


class Cluster(Team[_Actor]):
    """See Team. Connects to the cluster at RAY_ADDRESS, or to a Ray of this machine alone, which ends with the team.

    Raises UsageError without Ray or without the GPU that was asked for, FewposeError where the cluster can't be
    reached or has nothing to work with.
    """

    def __init__(self, order: Order, shots: int) -> None:
        """shots: how many there are to make."""
        self._ray = cluster.ray()
        self._ours = cluster.connect(self._ray)  # else somebody else ends it
        try:
            self._claim, places = _places(self._ray, order)
        except FewposeError:
            self._leave()
            raise
        super().__init__(order, min(places, shots, order.resources.workers or places))

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._leave()

    def _leave(self) -> None:
        if self._ours:
            self._ray.shutdown()

    def _start(self, index: int, deaths: int) -> _Actor:
        actor = self._ray.remote(Seat).options(**self._claim, scheduling_strategy="SPREAD").remote()
        begun = actor.begin.remote(self._order, "cuda" if "num_gpus" in self._claim else "cpu")
        return _Actor(index, deaths=deaths, actor=actor, replies=[begun])

    def _end(self, worker: _Actor) -> None:
        self._ray.kill(worker.actor)

    def _tell(self, worker: _Actor, shots: Sequence[Shot]) -> None:
        worker.replies.append(worker.actor.make.remote(shots))

    def _listen(self, timeout: float) -> list[tuple[_Actor, Reply | Lost | BaseException]]:
        next_of = {worker.replies[0]: worker for worker in self._workers if worker.replies}
        ready, others = self._ray.wait(list(next_of), timeout=timeout)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [(next_of[reply], self._said(next_of[reply])) for reply in ready]

    def _said(self, worker: _Actor) -> Reply | Lost | BaseException:
        errors = self._ray.exceptions
        try:
            said: Reply = self._ray.get(worker.replies.pop(0))
        except errors.RayTaskError as error:  # raised by our code over there
            return error.cause if isinstance(error.cause, FewposeError) else error
        except errors.RayError as error:
            return Lost(f"Ray says {type(error).__name__}")
        return said


class Seat:
    """A Maker in an actor. Its model is loaded by a call, as what a constructor raises would not reach us."""

    def begin(self, order: Order, device: str) -> Reply:
        self._maker = Maker(order, device)
        return self._maker.ready()

    def make(self, shots: Sequence[Shot]) -> Reply:
        return self._maker.make(shots)


def _places(ray: Any, order: Order) -> tuple[dict[str, int], int]:
    """What an actor claims, and how many such there can be."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    device, without_weights = order.resources.device, order.settings.model in WITHOUT_WEIGHTS
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: with --engine ray it is auto, cpu or cuda; Ray chooses which")
    if device == "cuda" and not gpus:
        raise UsageError("--device cuda: the Ray cluster has no GPU; add one, or use --device cpu")
    if gpus and device != "cpu" and not without_weights:
        return {"num_gpus": 1, "num_cpus": 0}, gpus
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if not any(cpus):
        raise FewposeError("the Ray cluster has no node with a CPU: add one, or leave out --engine ray")
    each = 1 if without_weights else min(_CPUS_OF_A_MODEL, max(cpus))
    return {"num_cpus": each}, sum(count // each for count in cpus)
