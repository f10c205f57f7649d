"""Units of work handed out in their order, each to a worker that is free; results in the order in which they are ready.

A unit that lost its worker is given again, before all others; a second time in halves, where it has any; and then it is
given up. A worker that dies twice before it has begun ends the whole run, since that is no accident. What a worker
raises is raised here.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from curate.foundation.errors import FewposeError
from curate.workers.places import Place
from curate.workers.transport import Answer, Begun, Event, Lost, Transport

_SECONDS_TO_LISTEN = 0.5
_SECONDS_TO_BEGIN = 30.0  # after which the user is told what we wait for
_LOSSES = 2  # of workers in one place before one began, or with one unit: then it is no accident

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Item = TypeVar("Item")


@dataclass(frozen=True)
class GivenUp:
    """In the place of a result: every worker that was given the unit died."""

    why: str


class Pool(ABC, Generic[Unit, Result]):
    """Workers that are ready to be given units, as often as there are some."""

    @property
    @abstractmethod
    def places(self) -> Sequence[Place]:
        """Where the workers are, or will be."""

    @abstractmethod
    def ready(self) -> None:
        """Wait until a worker has begun."""

    @abstractmethod
    def run(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | GivenUp]]:
        """Have all of them done. A unit that was halved comes in parts."""

    @abstractmethod
    def finish(self) -> Iterator[Result]:
        """What each worker returns from its `finish()`, where workers keep results back."""


def in_halves(items: Sequence[Item]) -> list[Sequence[Item]]:
    """How a unit that is a sequence is halved."""
    middle = len(items) // 2
    return [items[:middle], items[middle:]] if middle else [items]


@dataclass(eq=False)
class _Job(Generic[Unit]):
    unit: Unit
    losses: int = 0  # of workers


@dataclass(eq=False)
class _Worker(Generic[Unit]):
    handle: Any  # the transport's
    deaths: int = 0  # in this place, since one last began
    begun: bool = False
    job: _Job[Unit] | None = None


class RemotePool(Pool[Unit, Result]):
    """A pool whose workers are elsewhere."""

    def __init__(
        self,
        transport: Transport[Any],
        places: Sequence[Place],
        halves: Callable[[Unit], Sequence[Unit]] | None = None,
    ) -> None:
        """halves: of a unit; itself alone where it can't be halved. None: no unit can."""
        self._transport = transport
        self._halves = halves or (lambda unit: [unit])
        self._workers: list[_Worker[Unit]] = [_Worker(transport.start(place)) for place in places]
        self._remind_at: float | None = time.monotonic() + _SECONDS_TO_BEGIN

    @property
    def places(self) -> Sequence[Place]:
        return [worker.handle.place for worker in self._workers]

    def ready(self) -> None:
        while not any(worker.begun for worker in self._workers):
            for worker, event in self._listen():
                self._note(worker, event)

    def run(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | GivenUp]]:
        waiting = deque(_Job(unit) for unit in units)
        while waiting or any(worker.job for worker in self._workers):
            for worker in self._workers:
                if waiting and worker.begun and worker.job is None:
                    worker.job = waiting.popleft()
                    self._transport.ask(worker.handle, worker.job.unit)
            for worker, event in self._listen():
                job = worker.job
                self._note(worker, event)
                if job and isinstance(event, Answer):
                    yield job.unit, event.value
                elif job and isinstance(event, Lost) and not self._again(job, waiting):
                    yield job.unit, GivenUp(event.why)

    def finish(self) -> Iterator[Result]:
        asked = [worker for worker in self._workers if worker.begun]
        for worker in asked:
            self._transport.finish(worker.handle)
        while asked:
            for worker, event in self._listen():
                self._note(worker, event)
                if worker in asked and not isinstance(event, Begun):
                    asked.remove(worker)
                    if isinstance(event, Answer):
                        yield event.value

    def _listen(self) -> list[tuple[_Worker[Unit], Event]]:
        workers = {worker.handle: worker for worker in self._workers}
        events = self._transport.listen(workers, _SECONDS_TO_LISTEN)
        if self._remind_at and time.monotonic() > self._remind_at:
            self._remind_at = None
            self._remind()
        return [(workers[handle], each) for handle, each in events]

    def _remind(self) -> None:
        if not any(worker.begun for worker in self._workers):
            from curate.foundation import console

            console.note("no worker has begun yet: they load the model, or wait for a place")

    def _note(self, worker: _Worker[Unit], event: Event) -> None:
        """Update what is known of a worker."""
        match event:
            case Begun():
                worker.begun = True
            case Answer():
                worker.job = None
            case Lost():
                self._replace(worker, event)

    def _replace(self, worker: _Worker[Unit], lost: Lost) -> None:
        deaths = 0 if worker.begun else worker.deaths + 1
        if deaths == _LOSSES:
            raise FewposeError(
                f"a worker died twice before it began ({lost.why}), for want of memory, or because fewpose is not "
                "installed there; what is done is kept: fewer --workers or a larger --gpu-share may do"
            )
        place = self._workers.index(worker)
        self._workers[place] = _Worker(self._transport.replace(worker.handle), deaths)

    def _again(self, job: _Job[Unit], waiting: deque[_Job[Unit]]) -> bool:
        """Put the unit of a lost worker, or its halves, before all others. False where it is given up."""
        job.losses += 1
        if job.losses < _LOSSES:
            waiting.appendleft(job)
            return True
        parts = self._halves(job.unit)
        if len(parts) < 2:
            return False
        waiting.extendleft(_Job(part, _LOSSES - 1) for part in reversed(parts))  # half as much at once may do
        return True


class PoolHere(Pool[Unit, Result]):
    """A pool of one worker, which is this process. Its `close`, where it has one, is called at the end."""

    def __init__(self, make: Callable[[Place], Callable[[Unit], Result]], place: Place) -> None:
        self._place = place
        self._worker = make(place)

    @property
    def places(self) -> Sequence[Place]:
        return [self._place]

    def ready(self) -> None:
        pass

    def run(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Result | GivenUp]]:
        for unit in units:
            yield unit, self._worker(unit)

    def finish(self) -> Iterator[Result]:
        yield self._worker.finish()  # type: ignore[attr-defined]

    def close(self) -> None:
        if hasattr(self._worker, "close"):
            self._worker.close()
