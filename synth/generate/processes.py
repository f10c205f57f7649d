"""A team of processes on this machine: one for each GPU, or several on the CPU.

They are spawned, not forked: a fork has whatever locks our threads hold, and CUDA works in none.
"""

import multiprocessing
import os
import pickle
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from typing import Any

from curate.foundation.errors import FewposeError
from curate.workers.interrupts import ignore_ctrl_c, without_ctrl_c
from synth.generate.image_job import Shot
from synth.generate.making import Maker, Order, Reply
from synth.generate.team import Lost, Team, Worker

_SECONDS_TO_END = 2.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(eq=False)
class _Process(Worker):
    process: Any = None
    pipe: Any = None  # a Connection


class Processes(Team[_Process]):
    """See Team."""

    def __init__(self, order: Order, devices: Sequence[str]) -> None:
        """devices: of each process."""
        super().__init__(order, len(devices))
        self._devices = devices
        self._context = multiprocessing.get_context("spawn")

    def _start(self, index: int, deaths: int) -> _Process:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._order, self._devices[index]), daemon=True)
        with _sharing_cpus(self.size), without_ctrl_c():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Process(index, deaths=deaths, process=process, pipe=ours)

    def _end(self, worker: _Process) -> None:
        worker.pipe.close()  # it ends by itself then
        worker.process.join(_SECONDS_TO_END)
        worker.process.kill()
        worker.process.join()

    def _tell(self, worker: _Process, shots: Sequence[Shot]) -> None:
        try:
            worker.pipe.send(shots)
        except OSError:
            return  # it died, as listening will tell

    def _listen(self, timeout: float) -> list[tuple[_Process, Reply | Lost | BaseException]]:
        pipes = {worker.pipe: worker for worker in self._workers}
        return [(pipes[pipe], self._said(pipes[pipe])) for pipe in wait(list(pipes), timeout)]

    def _said(self, worker: _Process) -> Reply | Lost | BaseException:
        try:
            said: Reply | BaseException = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(1.0)
            return Lost(f"a process with exit code {worker.process.exitcode}")
        return said


@contextmanager
def _sharing_cpus(count: int) -> Iterator[None]:
    """Processes that start in this block take as many threads as suit `count` such processes."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    new = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(new, threads))
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def _work(pipe: Connection, order: Order, device: str) -> None:
    """What runs in a process, until it is killed, or who asked has gone."""
    ignore_ctrl_c()
    shots: queue.SimpleQueue[Sequence[Shot]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, shots), daemon=True).start()
    try:
        with Maker(order, device) as maker:
            pipe.send(maker.ready())
            while True:
                pipe.send(maker.make(shots.get()))
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:
        pipe.send(_portable(error))
        os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """An exception that can be sent, with its traceback where it is no user's mistake."""
    told = traceback.format_exc()
    try:
        sent: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    except Exception:
        return RuntimeError(told)
    if not isinstance(error, FewposeError):
        sent.add_note(told)
    return sent


def _listen(pipe: Connection, shots: "queue.SimpleQueue[Sequence[Shot]]") -> None:
    """Take what comes at once, so that nobody waits for us to take it."""
    try:
        while True:
            shots.put(pipe.recv())
    except (EOFError, OSError):  # who asked needs us no more, or was killed
        util._exit_function()  # type: ignore[attr-defined]  # libraries made semaphores, which are this machine's
        os._exit(1)
