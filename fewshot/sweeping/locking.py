"""One process at a time in a directory: a lock that the system lets go of when the process ends, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.foundation.errors import FewposeError, UsageError


@contextmanager
def only_one(out: Path, command: str) -> Iterator[None]:
    """Hold `out`, which is made where there is none, for `command` ("fewshot sweep").

    Raises UsageError where another process holds it, FewposeError where it can't be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise FewposeError(f"{out} can't be written to ({error.strerror}); choose another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another {command} is running in {out}; wait for it, or choose another --out") from error
        yield
