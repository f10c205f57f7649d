"""Handing shots out to workers elsewhere: to whoever is free, in batches, and again where a worker was lost.

Only shots and short replies travel; the images are files that the workers write into the collection.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Self, TypeVar

from curate.foundation import console
from curate.foundation.errors import FewposeError
from synth.generate.image_job import Shot
from synth.generate.making import Order, Reply
from synth.generate.writing import Became, Done, path

_AHEAD = 2  # batches that a worker has: one that it makes, and the next
_SECONDS_TO_LISTEN = 0.5
_SECONDS_TO_BEGIN = 30.0  # after which the user is told what we wait for
_DEATHS = 2  # of workers in one place, one after the other without an image, after which the run ends


@dataclass(eq=False)
class Worker:
    """What we know of one."""

    index: int
    batch: int = 0  # how many it likes to be given at once; 0: it has not begun
    owed: int = 1  # replies: first that it has begun, then one for each time that it was told something
    due: dict[str, Shot] = field(default_factory=dict)  # by key: what it was given and has not written yet
    deaths: int = 0  # in this place, since the last image


W = TypeVar("W", bound=Worker)


class Lost(NamedTuple):
    """A worker that is there no more."""

    why: str


class Team(ABC, Generic[W]):
    """A context manager: at its end no worker is left, whatever they were doing."""

    def __init__(self, order: Order, size: int) -> None:
        self._order = order
        self.size = size
        self._workers: list[W] = []

    def __enter__(self) -> Self:
        self._workers += [self._start(index, 0) for index in range(self.size)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()

    def work(self, shots: Iterable[Shot]) -> Iterator[Reply]:
        """Have all of them made. Raises FewposeError where workers die one after the other, and what they raise."""
        waiting = deque(shots)
        told_at: float | None = time.monotonic() + _SECONDS_TO_BEGIN
        while waiting or any(worker.due for worker in self._workers):
            for worker in list(self._workers):
                self._employ(worker, waiting)
            for worker, said in self._listen(_SECONDS_TO_LISTEN):
                if isinstance(said, BaseException):
                    raise said
                if worker in self._workers:
                    yield self._replace(worker, said, waiting) if isinstance(said, Lost) else _settle(worker, said)
            if told_at and time.monotonic() > told_at:
                told_at = None
                self._tell_of_waiting()

    def _employ(self, worker: W, waiting: deque[Shot]) -> None:
        while waiting and worker.batch and worker.owed < _AHEAD:
            self._give(worker, [waiting.popleft() for _ in range(min(worker.batch, len(waiting)))])
        if worker.due and not worker.owed:  # nothing more for it: it should finish what it writes
            self._give(worker, [])

    def _give(self, worker: W, shots: Sequence[Shot]) -> None:
        worker.due.update((shot.key, shot) for shot in shots)
        worker.owed += 1
        self._tell(worker, shots)

    def _replace(self, worker: W, lost: Lost, waiting: deque[Shot]) -> Reply:
        """Another in its place; what it had not written is made again."""
        self._end(worker)
        there = [key for key, shot in worker.due.items() if path(self._order.root, shot).exists()]
        waiting.extendleft(shot for key, shot in worker.due.items() if key not in there)
        deaths = 1 if there else worker.deaths + 1
        if deaths == _DEATHS:
            raise FewposeError(
                f"a worker died twice ({lost.why}), perhaps for want of memory; what was made is kept: "
                "give the same command again, with fewer --workers or a smaller --batch"
            )
        self._workers[self._workers.index(worker)] = self._start(worker.index, deaths)
        return Reply([Done(key, Became.MADE) for key in there], 0)

    def _tell_of_waiting(self) -> None:
        if not any(worker.batch for worker in self._workers):
            console.err.print("no worker has begun yet: they load the model, or wait for a place", soft_wrap=True)

    @abstractmethod
    def _start(self, index: int, deaths: int) -> W:
        """A worker that begins, and replies once it has."""

    @abstractmethod
    def _end(self, worker: W) -> None:
        """At once, whatever it does, were it dead already."""

    @abstractmethod
    def _tell(self, worker: W, shots: Sequence[Shot]) -> None:
        """Have it make these, or finish what it writes."""

    @abstractmethod
    def _listen(self, timeout: float) -> list[tuple[W, Reply | Lost | BaseException]]:
        """What workers said; waits `timeout` seconds at most."""


def _settle(worker: Worker, reply: Reply) -> Reply:
    worker.owed -= 1
    worker.batch = reply.batch
    for done in reply.done:
        worker.due.pop(done.key, None)
        worker.deaths = 0
    return reply
