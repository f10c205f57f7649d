"""Commands as processes of their own that start in a moment: all that they import is loaded once, and then forked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
MODEL = ("--model", "tiny/random", "--device", "cpu")
PATIENCE = 300.0  # seconds for what takes a few on an idle machine


def words(command: str, root: Path) -> list[object]:
    """A command that is written down: words in capitals are places in `root`, and MODEL stands for itself."""
    found: list[object] = []
    for word in command.split():
        found += MODEL if word == "MODEL" else [root / word.lower()] if word.isupper() else [word]
    return found


_SERVER = """
import importlib, json, os, sys
import pandas, pyarrow, sklearn.linear_model, torch, open_clip, torchvision
import curate.cli, fewshot.cli, synth.cli
for name in ("curate.checks.features", "curate.importing.importer", "curate.exporting.export", "curate.download.run",
             "curate.pose.estimating", "synth.generate.run", "synth.accept.accept", "fewshot.trained.train",
             "fewshot.sweeping.run", "fewshot.reporting"):
    importlib.import_module(name)
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    os.setsid()
    said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream, descriptor in ((os.open(os.devnull, os.O_RDONLY), 0), (said, 1), (said, 2)):
        os.dup2(stream, descriptor)
    sys.stdin = open(0, closefd=False)
    os.environ.update(asked["environment"])
    sys.argv = asked["command"]
    {"curate": curate.cli, "synth": synth.cli, "fewshot": fewshot.cli}[sys.argv[0]].app()
    sys.exit(0)
"""


class Ended(NamedTuple):
    code: int  # negative: the signal that ended it
    said: str  # stdout and stderr

    @property
    def refused(self) -> bool:
        """In one sentence."""
        return self.code == 1 and len(self.errors) == 1 and "Traceback" not in self.said

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("error: ")]


@dataclass(frozen=True)
class Running:
    """A command, in a process group of its own."""

    pid: int
    said: Path
    ask: Callable[..., int]

    def wait(self) -> Ended:
        return Ended(self.ask(wait=self.pid), self.said.read_text())

    def kill(self) -> Ended:
        """`kill -9` of the process alone; returns when the processes that it started are gone, too."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        ended, limit = self.wait(), time.monotonic() + PATIENCE
        while self._group_lives():
            assert time.monotonic() < limit, "a worker outlives its command"
            time.sleep(0.01)
        return ended

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Commands:
    """`start` returns at once, `run` when the command has ended."""

    def __init__(self, server: "subprocess.Popen[str]", folder: Path, environment: dict[str, str]) -> None:
        self._server, self._folder, self.environment, self._numbers = server, folder, environment, count()

    def start(self, *command: object) -> Running:
        said = self._folder / f"said-{next(self._numbers)}"
        words = [str(word) for word in command]
        pid = self._ask(command=words, said=str(said), environment=self.environment)
        return Running(pid, said, self._ask)

    def run(self, *command: object) -> Ended:
        return self.start(*command).wait()

    def done(self, *command: object) -> Ended:
        ended = self.run(*command)
        assert ended.code == 0, (command, ended)
        return ended

    def _ask(self, **asked: Any) -> int:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def loaded(folder: Path, prefix: Sequence[str] = (), **environment: str) -> Iterator[Commands]:
    """folder: for what commands say.  prefix: a program that starts ours, such as setpriv, with its options."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", _SERVER],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield Commands(server, folder, environment)
        server.kill()
