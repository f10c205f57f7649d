"""The same engine on processes of this machine: one Python runs on one CPU, and a request costs it a millisecond.

They are spawned, not forked: a fork has whatever locks our threads hold, and the memory of our tables. Nor by a fork
server, which would be one process more, to save a third of a second.
"""

import multiprocessing
import os
import pickle
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from curate.download.engines.shards import SECONDS_TO_TAKE, MakeFetch, Reply, Shard, ShardedEngine, Worker
from curate.download.web.job import Job, Result
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError
from curate.workers.interrupts import ignore_ctrl_c, without_ctrl_c

_SECONDS_BETWEEN_MESSAGES = 0.01  # results come in bunches then: each message costs both sides


@dataclass(eq=False)
class _Process(Shard):
    process: Any = None
    pipe: Any = None  # a Connection


class ProcessEngine(ShardedEngine[_Process]):
    """See ShardedEngine. A program that makes one needs the usual `if __name__ == "__main__"`."""

    def __init__(self, make_fetch: MakeFetch, settings: Settings, processes: int) -> None:
        """
        make_fetch: called once in each process, for what LocalEngine is given; something that pickle can name.

        Raises what `make_fetch` raised, and FewposeError where the system starts no more processes.
        """
        self._context = multiprocessing.get_context("spawn")
        self._make_fetch = make_fetch
        super().__init__(settings, processes)
        try:
            for shard in list(self._shards):
                self._read(shard)  # it is there
        except BaseException:
            self.stop()
            raise

    def _start(self, index: int, settings: Settings) -> _Process:
        try:
            ours, theirs = self._context.Pipe()
            with theirs, without_ctrl_c():  # closed here, so that the end of the process is the end of the pipe
                process = self._context.Process(target=_work, args=(theirs, self._make_fetch, settings), daemon=True)
                process.start()
        except OSError as error:
            raise FewposeError(f"no process can be started ({error.strerror}): --engine threads needs none") from error
        return _Process(index, settings, process=process, pipe=ours)

    def _end(self, shard: _Process) -> None:
        shard.process.kill()
        shard.process.join()
        shard.pipe.close()

    def _tell(self, shard: _Process, jobs: list[tuple[Job, float]]) -> None:
        try:
            shard.pipe.send(jobs)
        except OSError:  # it died
            # If it did not, it must. `_read` will come to its end, after all that it still had said, and replace it.
            shard.process.kill()

    def _receive(self, timeout: float) -> list[Result]:
        for shard in list(self._shards):
            if shard.unsent:
                self._send(shard)
        if self.idle:
            time.sleep(timeout)
            return []
        shards = {shard.pipe: shard for shard in self._shards}
        return [result for pipe in wait(list(shards), timeout) for result in self._read(shards[pipe])]

    def _read(self, shard: _Process) -> list[Result]:
        """What one message of it brings; if there is none yet, wait."""
        try:
            said: Reply | BaseException = shard.pipe.recv()
        except (EOFError, OSError) as error:
            self._replace(shard, "process", error)
            return []
        if isinstance(said, BaseException):  # a fault in our code over there
            raise said
        return self._settle(shard, said)


# In a process. One thread hears, the other does all the saying, so neither side can keep the other from going on.


def _work(pipe: Connection, make_fetch: MakeFetch, settings: Settings) -> None:
    """Until the other end of the pipe is closed, or the process is killed; a fault is said, and ends it."""
    ignore_ctrl_c()
    faults: list[BaseException] = []  # of the other thread
    try:
        worker = Worker(make_fetch, settings)
        threading.Thread(target=_listen, args=(pipe, worker, faults), daemon=True).start()
        _say(pipe, worker.submit([]))
        while not faults:
            _say(pipe, worker.take(SECONDS_TO_TAKE))
            time.sleep(_SECONDS_BETWEEN_MESSAGES)
        raise faults[0]
    except BaseException as error:
        _say(pipe, _portable(error))


def _listen(pipe: Connection, worker: Worker, faults: list[BaseException]) -> None:
    try:
        while True:
            worker.submit(_heard(pipe))
    except BaseException as error:  # such as: the system starts no more threads
        faults.append(error)


def _heard(pipe: Connection) -> list[tuple[Job, float]]:
    try:
        jobs: list[tuple[Job, float]] = pipe.recv()
    except (EOFError, OSError):
        os._exit(0)  # who asked has gone, killed perhaps
    return jobs


def _say(pipe: Connection, message: Reply | BaseException) -> None:
    try:
        pipe.send(message)
    except OSError:
        os._exit(0)  # likewise


def _portable(error: BaseException) -> BaseException:
    """The same, with a note of where it happened; as text where pickle can't bring it over."""
    place = "".join(traceback.format_exception(error))
    try:
        same: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301  (it is our own)
    except Exception:  # pickle calls what the error's class has to say, so it may be any
        same = RuntimeError(f"{type(error).__name__}: {error}")
    same.add_note(f"in a process of the download:\n{place}")
    return same
