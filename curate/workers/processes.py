"""Workers that are processes of this machine.

They are spawned, not forked: a forked process inherits the locks that our threads hold and the memory of our tables,
and CUDA does not work in it. A fork server would be one process more, and save a third of a second.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from typing import Any

from curate.foundation.errors import FewposeError
from curate.workers import transport
from curate.workers.interrupts import ignore_ctrl_c, without_ctrl_c
from curate.workers.places import Place
from curate.workers.transport import Begun, Event, Fault, Handle, Lost, MakeWorker, Message, Question, Reply, Tell

_SECONDS_TO_END = 0.5  # that processes are given to end by themselves
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(eq=False)
class Process(Handle):
    process: Any
    pipe: Any  # a Connection


class Processes(transport.Transport[Process]):
    """See Transport. A program that makes one needs the usual `if __name__ == "__main__"`."""

    def __init__(self, make: MakeWorker) -> None:
        super().__init__()
        self._context = multiprocessing.get_context("spawn")
        self._make = make

    def listen(self, handles: Iterable[Process], timeout: float) -> list[tuple[Process, Event]]:
        pipes = {each.pipe: each for each in handles}
        if not pipes:
            time.sleep(timeout)
        return [(pipes[pipe], _reply_of(pipes[pipe])) for pipe in wait(list(pipes), timeout)]

    def _start(self, place: Place) -> Process:
        try:
            ours, theirs = self._context.Pipe()
            # Our copy of their end is closed, so that the pipe ends when the process does.
            with theirs, _computing_with(place.threads), without_ctrl_c():
                process = self._context.Process(target=_work, args=(theirs, self._make, place), daemon=True)
                process.start()
        except OSError as error:
            raise FewposeError(f"no process can be started ({error.strerror}): --workers 1 needs none") from error
        return Process(place, process, ours)

    def _end(self, handles: list[Process]) -> None:
        for each in handles:
            each.pipe.close()  # a living process ends by itself then, with what its libraries clear away
        end = time.monotonic() + _SECONDS_TO_END
        for each in handles:
            each.process.join(max(0.0, end - time.monotonic()))
        for each in handles:
            each.process.kill()
            each.process.join()

    def _send(self, handle: Process, message: Message) -> None:
        try:
            handle.pipe.send(message)
        except OSError:  # it died
            # Killed, should it live on without its pipe. What it had sent before can still be received, then Lost.
            handle.process.kill()


def _reply_of(handle: Process) -> Event:
    try:
        reply: Reply = handle.pipe.recv()
    except (EOFError, OSError):
        handle.process.join(1.0)
        return Lost(f"a process with exit code {handle.process.exitcode}")
    if isinstance(reply, Fault):
        raise reply.error
    return reply


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    """Libraries in processes that start in this block take so many threads, unless the user said how many."""
    new = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(new, str(threads)))
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


# In a worker's process: one thread receives, the other sends, so that a full pipe blocks neither side for good.


def _work(pipe: Connection, make: MakeWorker, place: Place) -> None:
    """Answer questions until the pipe's other end is closed or the process is killed; a fault is sent, and ends it."""
    ignore_ctrl_c()
    inbox = _Inbox(pipe)
    try:
        worker = inbox.worker = make(place)
        _send(pipe, Begun())
        while True:
            _send(pipe, transport.answer(worker, inbox.next()))
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised again where it was asked for
        _send(pipe, transport.fault(error, "a worker process"))
        _exit()


class _Inbox:
    """The thread that receives. It takes each message as soon as it comes, so that the sender never waits."""

    def __init__(self, pipe: Connection) -> None:
        self.worker: Callable[[Any], Any] | None = None
        self._pipe = pipe
        self._asked: queue.SimpleQueue[Question | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Question:
        """The next question. Raises what went wrong while the worker was told something."""
        asked = self._asked.get()
        if isinstance(asked, BaseException):
            raise asked
        return asked

    def _read(self) -> None:
        try:
            while True:
                message = self._receive()
                if isinstance(message, Tell):
                    self.worker.tell(message.message)  # type: ignore[union-attr]
                else:
                    self._asked.put(message)
        except BaseException as error:  # noqa: BLE001  (such as: the system starts no more threads)
            self._asked.put(error)

    def _receive(self) -> Message:
        try:
            message: Message = self._pipe.recv()
        except (EOFError, OSError):  # the process that asked has closed the pipe, or was killed
            _exit()
        return message


def _send(pipe: Connection, message: Reply) -> None:
    try:
        pipe.send(message)
    except OSError:  # the process that asked has closed the pipe, or was killed
        _exit()


def _exit() -> None:
    """End the process from any thread, whatever the others do."""
    util._exit_function()  # type: ignore[attr-defined]  # else semaphores that libraries made would be left on this machine
    os._exit(1)
