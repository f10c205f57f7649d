"""One process at a time: locks that the system lets go of when their process ends, however it ends.

filelock (MIT) has the system hold them: flock, or what Windows has. A lock is a file of its own, because filelock opens
it for writing; what it guards may be a directory. The file may stay behind: what counts is who holds it.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from curate.foundation import json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.inside import inside

_POLL_SECONDS = 0.01  # between two attempts to take a lock that is waited for


class Lock:
    """A file that one holder at a time has, and that says who. Two of one process keep each other out, too."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = FileLock(file, thread_local=False)

    def taken(self) -> bool:
        """Take it, unless somebody else has it. Raises OSError where such a file can't be written."""
        return self._acquired(0)

    def wait(self) -> None:
        """Take it as soon as it is free. Raises OSError where such a file can't be written."""
        self._acquired(-1)

    def _acquired(self, timeout: float) -> bool:
        try:
            self._lock.acquire(timeout, poll_interval=_POLL_SECONDS)
        except Timeout:
            return False
        self.publish()
        return True

    def publish(self, **facts: Any) -> None:
        """Write facts that `holder` gives other processes, beside our process and machine. Only while we hold it."""
        told = {"pid": os.getpid(), "host": socket.gethostname()} | facts
        with suppress(OSError):  # Windows lets nobody write into a locked file: then others know nothing
            self.file.write_text(json.dumps(told), encoding="utf-8")

    def holder(self) -> dict[str, Any]:
        """The facts that its holder published; empty in the moment before it has."""
        with suppress(OSError, json_files.NotJson):
            return json_files.read(self.file)
        return {}

    def who(self) -> str:
        """The holder, for people: "process 4711", and of which machine where that is not ours."""
        said = self.holder()
        elsewhere = said.get("host", socket.gethostname()) != socket.gethostname()
        return f"process {said.get('pid', 'unknown')}" + (f" on {said['host']}" if elsewhere else "")

    def release(self) -> None:
        self._lock.release()


@contextmanager
def held(file: Path, refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Hold the lock `file`. Where somebody else does, raises what `refusal` makes of a name such as "process 4711".

    Raises OSError where such a file can't be written.
    """
    lock = Lock(file)
    if not lock.taken():
        raise refusal(lock.who())
    try:
        yield
    finally:
        lock.release()


@contextmanager
def waited_for(file: Path) -> Iterator[None]:
    """Hold the lock `file`, as soon as nobody else does: for what takes no time. Raises OSError as `held` does."""
    lock = Lock(file)
    lock.wait()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def only_one(out: Path, command: str) -> Iterator[None]:
    """Hold the directory `out`, which is made where there is none, for `command` ("fewshot sweep").

    Raises UsageError where another process holds it, FewposeError where it can't be written to.
    """

    def refusal(who: str) -> UsageError:
        return UsageError(f"another {command} is running in {out} ({who}); wait for it, or choose another --out")

    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(inside(out, ".lock"), refusal))
        except OSError as error:
            raise FewposeError(f"{out} can't be written to ({error.strerror}); choose another --out") from error
        yield
