"""Workers elsewhere: started, told, asked, listened to, replaced. What they do is not known here.

A worker is made over there, by a function of a place, and is itself a function: of a question, one at a time, to its
answer. It may have two methods more: `tell(message)`, which is called at once, whatever it is asked meanwhile, and
`finish()`, for what it kept back.
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


# What can be said of or by a worker


@dataclass(frozen=True)
class Begun:
    """It was made, and can be asked."""


@dataclass(frozen=True)
class Answer:
    value: Any


@dataclass(frozen=True)
class Lost:
    """It is there no more."""

    why: str


@dataclass(frozen=True)
class Fault:
    """What was raised over there, in a form that can travel."""

    error: BaseException


Said = Begun | Answer | Lost
Reply = Begun | Answer | Fault  # as it travels


# What is sent to it


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
        """Have it told something, which it does not answer."""
        self._send(handle, Tell(message))

    @abstractmethod
    def listen(self, handles: Iterable[H], timeout: float) -> list[tuple[H, Said]]:
        """What was said: the first thing, and all that is there as well; none after `timeout` seconds.

        Raises what was raised over there, with a note of where.
        """

    @abstractmethod
    def _start(self, place: Place) -> H: ...

    @abstractmethod
    def _end(self, handles: list[H]) -> None:
        """At once, whatever they do, were they dead already."""

    @abstractmethod
    def _send(self, handle: H, message: Message) -> None:
        """To one that may have died, as `listen` will tell."""


# Over there


def answer(worker: Callable[[Any], Any], message: Question) -> Answer:
    if isinstance(message, Finish):
        return Answer(worker.finish())  # type: ignore[attr-defined]  # who asks that knows that it has one
    return Answer(worker(message.question))


def fault(error: BaseException, where: str) -> Fault:
    """An exception as it can travel: the same, or its text where pickle can't bring it over; with a note of where."""
    place = "".join(traceback.format_exception(error))
    try:
        same: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301  (it is our own)
    except Exception:  # pickle calls what the error's class has to say, so it may be any
        same = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, FewposeError):  # which is a sentence for the user
        same.add_note(f"in {where}:\n{place}")
    return Fault(same)
