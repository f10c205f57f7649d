"""Workers that are actors of a Ray cluster: the user's, or one of this machine alone that ends with the command."""

import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from curate.foundation.errors import FewposeError, UsageError
from curate.workers import transport
from curate.workers.interrupts import ignore_ctrl_c
from curate.workers.places import Place
from curate.workers.same_files import SameFiles
from curate.workers.transport import Begun, Event, Fault, Handle, Lost, MakeWorker, Message, Question, Reply, Tell

_SECONDS_TO_CONNECT = 10.0
_STORE_BYTES = 200_000_000  # of Ray's object store, where we start Ray


class Cluster:
    """A connection to the cluster at `address` or RAY_ADDRESS, else to a Ray of this machine alone. A context manager.

    Raises UsageError where Ray is not installed, FewposeError where nobody answers.
    """

    def __init__(self, address: str = "") -> None:
        self.ray = _ray()
        self._ours = _connect(self.ray, address)  # a connection that was there is ended by whoever made it

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self.ray.shutdown()

    def nodes(self) -> dict[str, dict[str, float]]:
        """The resources of each node, by its id."""
        return {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'fewpose[ray]'") from error
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Connect. True where we did, so that it is ours to end; False where the program was connected already."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    named = f"--address {address}" if address else f"RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}"
    address = address or os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            _check_reachable(address)
            ray.init(address, **quiet)
        else:
            # Our user was not asked whether Ray may send usage statistics.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init("local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        where = f"no Ray cluster answers at {named}" if address else "Ray does not start here"
        raise FewposeError(f"{where} ({error}); without --engine ray, it works without Ray") from error
    return True


def _check_reachable(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # not "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_CONNECT).close()


@dataclass(eq=False)
class Actor(Handle):
    actor: Any
    replies: list[Any] = field(default_factory=list)  # references to what it will say


class Actors(transport.Transport[Actor]):
    """See Transport."""

    def __init__(
        self,
        cluster: Cluster,
        make: MakeWorker,
        claim: dict[str, float],
        *,
        files: SameFiles | None = None,
        messages: bool = False,
    ) -> None:
        """make: Ray must be able to pickle it.
        claim: what each actor takes of the cluster, as Ray's options.
        files: that each must see as we do.
        messages: whether they will be sent messages (`tell`), beside being asked.
        """
        super().__init__()
        self._ray = cluster.ray
        self._make = self._ray.put(make)  # once, not with each actor
        self._files = files
        # A message must arrive while a question is being answered, which takes a second thread. With one, every call
        # runs in the same thread, which suits torch.
        self._options = {**claim, "max_concurrency": 2 if messages else 1}

    def listen(self, handles: Iterable[Actor], timeout: float) -> list[tuple[Actor, Event]]:
        whose = {reply: each for each in handles for reply in each.replies}
        if not whose:
            time.sleep(timeout)
            return []
        ready, others = self._ray.wait(list(whose), timeout=timeout)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        found: list[tuple[Actor, Event]] = []
        lost: dict[Actor, Lost] = {}  # each open reply of one that died says so; what it had answered before counts
        for reply in ready:
            event = self._reply_of(whose[reply], reply)
            if isinstance(event, Lost):
                lost[whose[reply]] = event
            elif event is not None:
                found.append((whose[reply], event))
        return [*found, *lost.items()]

    def _reply_of(self, handle: Actor, reply: Any) -> Event | None:
        handle.replies.remove(reply)
        try:
            event: Event | Fault | None = self._ray.get(reply)
        except self._ray.exceptions.RayTaskError:  # raised outside of what PoolWorker catches
            raise
        except self._ray.exceptions.RayError as error:
            return Lost(f"Ray says {type(error).__name__}")
        if isinstance(event, Fault):
            raise event.error
        return event

    def _start(self, place: Place) -> Actor:
        strategy: Any = "SPREAD"
        if place.node:
            affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            strategy = affinity(place.node, soft=False)
        actor = self._ray.remote(PoolWorker).options(**self._options, scheduling_strategy=strategy).remote()
        return Actor(place, actor, [actor.begin.remote(self._make, place, self._files)])

    def _end(self, handles: list[Actor]) -> None:
        for each in handles:
            self._ray.kill(each.actor)

    def _send(self, handle: Actor, message: Message) -> None:
        method = handle.actor.tell if isinstance(message, Tell) else handle.actor.answer
        handle.replies.append(method.remote(message))


class PoolWorker:
    """What an actor holds. The worker is made by a call, since what a constructor raises would not reach us."""

    def __init__(self) -> None:
        with suppress(ValueError):  # where Ray runs it in another thread than the first
            ignore_ctrl_c()

    def begin(self, make: MakeWorker, place: Place, files: SameFiles | None) -> Begun | Fault:
        try:
            if files:
                files.check()
            self._worker: Callable[[Any], Any] = make(place)
        except Exception as error:  # noqa: BLE001  # whatever our code raises is raised again where it was asked for
            return _fault(error)
        return Begun()

    def answer(self, message: Question) -> Reply:
        try:
            return transport.answer(self._worker, message)
        except Exception as error:  # noqa: BLE001  # likewise
            return _fault(error)

    def tell(self, message: Tell) -> Fault | None:
        try:
            self._worker.tell(message.message)  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001  # likewise
            return _fault(error)
        return None


def _fault(error: Exception) -> Fault:
    return transport.fault(error, f"a worker on {socket.gethostname()}")
