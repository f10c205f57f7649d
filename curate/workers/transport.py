"""Workers in other processes: how they are started, asked, sent messages, listened to and replaced.

A worker is made in its own process, by a function of a place, and is itself a function from a question to its answer,
one at a time. It may have two methods more: `tell(message)`, which is called at once, even while a question is being
answered, and `finish()`, which returns what it kept back. What workers compute is not known here.
"""

import pickle
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from curate.foundation.errors import FewposeError
from curate.workers.places import Place

# From a place to what is asked; it can be pickled, as are questions and answers.
MakeWorker = Callable[[Place], Callable[[Any], Any]]


# What is heard of a worker


@dataclass(frozen=True)
class Begun:
    """It was made, and can be asked."""


@dataclass(frozen=True)
class Answer:
    value: Any


@dataclass(frozen=True)
class Lost:
    """It died, or can't be reached any more."""

    why: str


@dataclass(frozen=True)
class Fault:
    """What was raised in the worker, in a form that can be sent."""

    error: BaseException


Event = Begun | Answer | Lost
Reply = Begun | Answer | Fault  # as it is sent


# What is sent to a worker


@dataclass(frozen=True)
class Ask:
    question: Any


@dataclass(frozen=True)
class Finish:
    """Ask it to `finish()`."""


Question = Ask | Finish


@dataclass(frozen=True)
class Tell:
    message: Any


Message = Question | Tell


@dataclass(eq=False)
class Handle:
    """What stands for a worker where it was started."""

    place: Place


H = TypeVar("H", bound=Handle)


class Transport(ABC, Generic[H]):
    """A context manager: at its end no worker is left, whatever they were doing."""

    def __init__(self) -> None:
        self._living: list[H] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, place: Place) -> H:
        """A worker that begins. Raises FewposeError where none can be started.

        Until `listen` has said that it has begun, it may be neither asked nor told anything: Ray keeps no order.
        """
        handle = self._start(place)
        self._living.append(handle)
        return handle

    def replace(self, handle: H) -> H:
        """Another one in its place. The old one may only be out of reach, and is ended."""
        self._living.remove(handle)
        self._end([handle])
        return self.start(handle.place)

    def stop(self) -> None:
        """End all of them."""
        living, self._living = self._living, []
        self._end(living)

    def ask(self, handle: H, question: Any) -> None:
        """Ask it one thing; when it has answered, it can be asked the next."""
        self._send(handle, Ask(question))

    def finish(self, handle: H) -> None:
        """Ask for what it may have kept back so far."""
        self._send(handle, Finish())

    def tell(self, handle: H, message: Any) -> None:
        """Send it a message, which it does not answer."""
        self._send(handle, Tell(message))

    @abstractmethod
    def listen(self, handles: Iterable[H], timeout: float) -> list[tuple[H, Event]]:
        """What was heard: waits for the first, and takes all that has come; none after `timeout` seconds.

        Raises what was raised in a worker, with a note of where.
        """

    @abstractmethod
    def _start(self, place: Place) -> H: ...

    @abstractmethod
    def _end(self, handles: list[H]) -> None:
        """End them at once, whatever they do; some may be dead already."""

    @abstractmethod
    def _send(self, handle: H, message: Message) -> None:
        """Send to a worker that may have died: nothing is raised then, and `listen` gives Lost."""


# In the worker's process


def answer(worker: Callable[[Any], Any], message: Question) -> Answer:
    """What a worker answers to a message: the result of a unit, or what it holds when it is to finish."""
    if isinstance(message, Finish):
        return Answer(worker.finish())  # type: ignore[attr-defined]  # only asked of workers that have one
    return Answer(worker(message.question))


def fault(error: BaseException, where: str) -> Fault:
    """An exception in a form that can be sent: itself, or its text where it can't be pickled; with a note of where."""
    place = "".join(traceback.format_exception(error))
    try:
        same: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301  (it is our own)
    except Exception:  # noqa: BLE001  (pickle calls what the error's class has to say, so it may be any)
        same = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, FewposeError):  # which is a sentence for the user
        same.add_note(f"in {where}:\n{place}")
    return Fault(same)
