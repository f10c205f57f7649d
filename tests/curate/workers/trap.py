"""Workers that start in a moment, and die where a file says so. A process that is spawned imports this: it is light."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.foundation.errors import UsageError
from curate.workers.places import Place

Numbers = Sequence[int]


class Stubborn(Exception):
    """Can be pickled, and not be made anew."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


@dataclass
class Trap:
    """Units are sequences of numbers, and their results who did them. What happens is said by files in `out`."""

    out: Path

    def __call__(self, place: Place) -> Callable[[Numbers], int]:
        self._die_if("no begin")
        if (self.out / "wrong").exists():
            raise UsageError("there is no such thing")
        threads = os.environ.get("OPENBLAS_NUM_THREADS")
        (self.out / f"place {place.number} {place.device} {place.threads} {threads}").touch()
        return _Trapped(self)

    def _die_if(self, name: str) -> None:
        once, always = self.out / f"once {name}", self.out / name
        if once.exists() or always.exists():
            once.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)


class _Trapped:
    def __init__(self, trap: Trap) -> None:
        self._trap, self._kept = trap, 0

    def __call__(self, unit: Numbers) -> int:
        out = self._trap.out
        for number in unit:
            self._trap._die_if(f"die {number}")
            if (out / f"fault {number}").exists():
                raise ZeroDivisionError("seven")
            if (out / f"stubborn {number}").exists():
                raise Stubborn("seven", "it is odd")
            if (out / f"hang {number}").exists():
                (out / "hanging").touch()
                time.sleep(600.0)
            with (out / "log").open("a") as log:
                log.write(f"{number}\n")
            self._kept += number
        return os.getpid()

    def finish(self) -> int:
        """The sum of all numbers that it was given."""
        return self._kept


def deadly(_: Place) -> Callable[[Any], None]:
    """A worker that dies of one image among rows of an image table."""
    return _dies_of_one


def _dies_of_one(images: Any) -> None:
    if "tree/3.png" in set(images["key"]):
        os._exit(1)
