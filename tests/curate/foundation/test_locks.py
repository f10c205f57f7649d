"""One process at a time: who comes second is told who was first, and a process that is killed holds nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curate.foundation.errors import Busy, FewposeError
from curate.foundation.locks import Lock, held, only_one, waited_for

HOLDER = """
import sys, time
from pathlib import Path
from curate.foundation.locks import Lock

lock = Lock(Path(sys.argv[1]))
assert lock.taken()
lock.publish(uri="mongodb://here")
print("held", flush=True)
time.sleep(600)
"""


def refusal(who: str) -> FewposeError:
    return FewposeError(f"held by {who}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def other(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_comes_second_is_told_who_holds_it(file: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(FewposeError, match=f"^held by process {other.pid}$"), held(file, refusal):
        pass
    with pytest.raises(FewposeError, match=f"^held by process {other.pid}$"), held(file, refusal):  # and stays told
        pass
    assert Lock(file).holder()["uri"] == "mongodb://here"


def test_a_process_that_is_killed_holds_nothing(file: Path, other: subprocess.Popen[str]) -> None:
    assert not Lock(file).taken()
    other.send_signal(signal.SIGKILL)
    other.wait()
    with held(file, refusal):
        assert Lock(file).who() == f"process {os.getpid()}"


def test_two_in_one_process_keep_each_other_out(file: Path) -> None:
    with held(file, refusal), pytest.raises(FewposeError, match=f"process {os.getpid()}"), held(file, refusal):
        pass
    with held(file, refusal):
        pass


def test_it_is_free_again_after_an_error(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(file, refusal):
        _ = 1 / 0
    with held(file, refusal):
        pass


def test_a_lock_that_is_waited_for_is_had_when_it_is_free(file: Path) -> None:
    seen: list[str] = []

    def second() -> None:
        with waited_for(file):
            seen.append("second")

    with waited_for(file):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        seen.append("first")
    thread.join(10)
    assert seen == ["first", "second"]


def test_a_holder_on_another_machine_is_named_with_it(file: Path) -> None:
    file.write_text(json.dumps({"pid": 7, "host": "elsewhere.test"}))
    assert Lock(file).who() == "process 7 on elsewhere.test"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_holder_that_has_said_nothing_readable_is_unknown(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert Lock(file).who() == "process unknown"


def test_a_directory_is_made_and_held_for_one_command(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    with only_one(out, "fewshot sweep"):
        assert out.is_dir()
        told = rf"^another fewshot sweep is running in {out} \(process {os.getpid()}\); wait for it, or choose another"
        with pytest.raises(Busy, match=told), only_one(out, "fewshot sweep"):
            pass
    with only_one(out, "fewshot train"):
        pass


def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "below"


def under_sys(_: Path) -> Path:
    return Path("/sys/kernel/nothing")


@pytest.mark.parametrize("place", [unwritable, under_sys])
def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    out = place(tmp_path)
    with pytest.raises(FewposeError, match=r"can't be written to \(.*\); choose another --out$"), only_one(out, "x"):
        pass
