"""Opens the pool that was asked for: in this process, in others of this machine, or on a cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from curate.foundation.errors import FewposeError
from curate.workers import places
from curate.workers.places import Needs, Place
from curate.workers.pool import GivenUp, Pool, PoolHere, RemotePool
from curate.workers.settings import WorkerSettings
from curate.workers.transport import MakeWorker, Transport

Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Shared:
    """What all machines of a cluster must see alike: a folder that can be written to, other files, and more such
    folders.
    """

    folder: Path
    others: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()


def in_this_process(asked: WorkerSettings, needs: Needs, most: int | None = None) -> bool:
    """Whether one worker suffices, which is this process then.

    Workers with a model (`needs.device`) stay here only where one worker was asked for, never because few units are
    left: the last bits of some results depend on the number of threads, and work that was interrupted must end with the
    same results as work that was not.
    """
    there = places.on_this_machine(asked, needs)
    return asked.engine != "ray" and len(there if needs.device else there[:most]) == 1


@contextmanager
def open_pool(
    make: Callable[[Place], Callable[[Unit], Result]],
    asked: WorkerSettings,
    *,
    most: int,
    needs: Needs | None = None,
    halves: Callable[[Unit], Sequence[Unit]] | None = None,
    shared: Shared | None = None,
) -> Iterator[Pool[Unit, Result]]:
    """A pool of workers, which are ended with the block, whatever they are doing.

    make: makes a worker at its place: a function from a unit to its result. Other processes are sent it by pickle.
    most: workers that have something to do, at least 1.
    halves: see RemotePool.
    shared: what workers of a cluster read and write.

    Raises UsageError without Ray or for a device that is not there, FewposeError where no worker can be had, and what
    workers raise.
    """
    needs = needs or Needs()
    with ExitStack() as stack:
        transport: Transport[Any]
        if asked.engine == "ray":
            transport, there = _on_cluster(stack, make, asked, needs, most, shared)
        elif in_this_process(asked, needs, most):
            yield stack.enter_context(closing(PoolHere(make, places.on_this_machine(asked, needs)[0])))
            return
        else:
            from curate.workers.processes import Processes

            transport, there = Processes(make), places.on_this_machine(asked, needs)[:most]
        yield RemotePool(stack.enter_context(transport), there, halves)


def _on_cluster(
    stack: ExitStack, make: MakeWorker, asked: WorkerSettings, needs: Needs, most: int, shared: Shared | None
) -> tuple[Transport[Any], list[Place]]:
    from curate.workers.cluster import Actors, Cluster
    from curate.workers.same_files import same_files

    cluster = stack.enter_context(Cluster(asked.address))
    room = places.on_cluster(list(cluster.nodes().values()), asked, needs, most)
    files = stack.enter_context(same_files(shared.folder, *shared.folders, files=shared.others)) if shared else None
    return Actors(cluster, make, room.claim, files=files), room.places


@dataclass(frozen=True)
class _Numbered(Generic[Unit, Result]):
    """Makes a worker that needs no time to begin, for units with their numbers."""

    work: Callable[[Unit], Result]

    def __call__(self, _: Place) -> Callable[[tuple[int, Unit]], Result]:
        return self._do

    def _do(self, numbered: tuple[int, Unit]) -> Result:
        return self.work(numbered[1])


def in_order(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    asked: WorkerSettings,
    *,
    most: int | None = None,
    shared: Shared | None = None,
) -> Iterator[Result]:
    """`work(unit)` of every unit, in their order.

    most: workers that have enough to do; as many as there are units, unless said.
    Raises as open_pool, and FewposeError for a unit whose worker died twice.
    """
    if len(units) < 2 and asked.engine != "ray":
        yield from map(work, units)
        return
    numbered = list(enumerate(units))
    early: dict[int, Result] = {}
    following = 0
    with open_pool(_Numbered(work), asked, most=most or len(units), shared=shared) as pool:
        for (number, _), result in pool.run(numbered):
            if isinstance(result, GivenUp):
                raise FewposeError(f"a worker died twice with the same work ({result.why}): fewer --workers may do")
            early[number] = result
            while following in early:
                yield early.pop(following)
                following += 1
