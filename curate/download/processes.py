"""The same engine on processes of this machine: one Python runs on one CPU, and a request costs it a millisecond.

They are spawned, not forked: a fork has whatever locks our threads hold, and the memory of our tables.
"""

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from curate.download.job import Job, Result
from curate.download.settings import Settings
from curate.download.shards import SECONDS_TO_TAKE, MakeFetch, Reply, Shard, ShardedEngine, Worker

_SECONDS_BETWEEN_MESSAGES = 0.01  # results come in bunches then: each message costs both sides


@dataclass(eq=False)
class _Process(Shard):
    process: Any = None
    pipe: Any = None  # a Connection


class ProcessEngine(ShardedEngine[_Process]):
    """See ShardedEngine."""

    def __init__(self, make_fetch: MakeFetch, settings: Settings, processes: int) -> None:
        """make_fetch: called once in each process, for what LocalEngine is given; something that pickle can name."""
        self._context = multiprocessing.get_context("spawn")
        self._make_fetch = make_fetch
        super().__init__(settings, processes)
        for shard in list(self._shards):
            self._read(shard)  # it is there

    def _start(self, index: int, settings: Settings) -> _Process:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._make_fetch, settings), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Process(index, settings, process=process, pipe=ours)

    def _end(self, shard: _Process) -> None:
        shard.process.kill()
        shard.process.join()
        shard.pipe.close()

    def _tell(self, shard: _Process, jobs: list[tuple[Job, float]]) -> None:
        try:
            shard.pipe.send(jobs)
        except OSError as error:  # it died, and its end of the pipe with it
            self._replace(shard, "process", error)

    def _receive(self, timeout: float) -> list[Result]:
        for shard in list(self._shards):
            if shard.unsent:
                self._send(shard)
        busy = {shard.pipe: shard for shard in self._shards if shard.due}
        if not busy:
            time.sleep(timeout)
            return []
        return [result for pipe in wait(list(busy), timeout) for result in self._read(busy[pipe])]

    def _read(self, shard: _Process) -> list[Result]:
        try:
            said: Reply | BaseException = shard.pipe.recv()
        except (EOFError, OSError) as error:
            self._replace(shard, "process", error)
            return []
        if isinstance(said, BaseException):  # a fault in our code over there
            raise said
        return self._settle(shard, said)


def _work(pipe: Connection, make_fetch: MakeFetch, settings: Settings) -> None:
    """What runs in a process, until the other end of the pipe is closed or it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: who asked says what is to be done
    worker = Worker(make_fetch, settings)
    threading.Thread(target=_listen, args=(pipe, worker), daemon=True).start()
    try:
        pipe.send(worker.submit([]))
        while True:
            pipe.send(worker.take(SECONDS_TO_TAKE))
            time.sleep(_SECONDS_BETWEEN_MESSAGES)
    except OSError:  # nobody is there any more
        return
    except BaseException as error:
        pipe.send(error)
        raise


def _listen(pipe: Connection, worker: Worker) -> None:
    try:
        while True:
            worker.submit(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)  # who asked has gone, killed perhaps
