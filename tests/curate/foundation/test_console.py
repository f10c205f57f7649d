"""What a person sees: one line for a mistake, a sentence after Ctrl-C, progress that suits the place."""

import contextlib
import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.foundation import console
from curate.foundation.text import is_seen

# A command line with one command for each thing that can happen.
COMMANDS = r"""
import os, signal, time
from curate.foundation import console
from curate.foundation.errors import FewposeError, UsageError

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would this program.
signal.signal(signal.SIGINT, signal.default_int_handler)
app = console.application("Things that can happen.")
MESSAGE = "/a/collection has [no] images, " + "a long name of a file " * 20 + "; run: curate import"

@app.command()
def fail():
    raise FewposeError(MESSAGE)

@app.command()
def misuse():
    raise UsageError(MESSAGE)

@app.command()
def disk(number: int, name: str = ""):
    raise OSError(number, os.strerror(number), *([name] if name else []))

@app.command()
def fault():
    raise KeyError("a fault of ours")

@app.command()
def work(total: int, step: int = 1):
    with console.progress("embedding", total) as advance:
        for _ in range(0, total, step):
            advance(step)
    print("done")

@app.command()
def names():
    with console.progress("looking", 2) as advance:
        console.say("a:cat:b.jpg")
        advance(1)
        console.note("c\x1b[2J:cat:.jpg", style="red")
    console.say_json({"a\x1b": ["\u202eb", 1.5], ":cat:": "é"})

@app.command()
def wait():
    with console.progress("waiting", 10) as advance:
        advance(5)
        os.write(1, b"ready\n")  # not print: while a bar is up, rich takes what is printed to the bar's terminal
        time.sleep(30)

console.run(app)
"""


@pytest.fixture
def environment() -> dict[str, str]:
    """Ours, without what would make rich believe in another terminal than the one it has."""
    ignored = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"}
    return {k: v for k, v in os.environ.items() if k not in ignored} | {"TERM": "xterm-256color", "PYTHONUTF8": "1"}


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    (tmp_path / "commands.py").write_text(COMMANDS)
    return [sys.executable, str(tmp_path / "commands.py")]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal of our own: our end and the program's."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        os.close(end)


def run(program: list[str], environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def shown(terminal: tuple[int, int]) -> str:
    """All that the terminal shows, once the program has ended."""
    os.set_blocking(terminal[0], False)
    text = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            text += os.read(terminal[0], 65536)
    return text.decode()


def interrupt(program: list[str], environment: dict[str, str], stderr: int) -> tuple[int, str | None]:
    """Start `wait`, press Ctrl-C once it works; its exit code, and its stderr where that is a pipe."""
    with subprocess.Popen(
        [*program, "wait"], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=60)
        return waiting.returncode, errors


@pytest.mark.parametrize(("command", "code"), [("fail", 1), ("misuse", 2)])
def test_a_persons_mistake_is_one_line_and_an_exit_code(
    program: list[str], environment: dict[str, str], command: str, code: int
) -> None:
    done = run(program, environment, command)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1  # however long: a path that is broken across lines can't be copied
    assert done.stderr.startswith("error: /a/collection has [no] images, ")
    assert done.stderr.endswith("; run: curate import\n")


@pytest.mark.parametrize("command", ["curate", "fewshot", "synth"])
def test_each_of_our_commands_starts_where_mistakes_are_caught(command: str, environment: dict[str, str]) -> None:
    pyproject = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    module, function = pyproject["project"]["scripts"][command].split(":")
    code = f"""
import typer
from curate.foundation.errors import UsageError
def mistaken(self, *args, **kwargs):
    raise UsageError("mistaken")
typer.Typer.__call__ = mistaken
from {module} import {function} as start
start()
"""
    done = run([sys.executable, "-c", code], environment)
    assert (done.returncode, done.stderr) == (2, "error: mistaken\n")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EROFS, "Read-only file system"),
        (errno.EDQUOT, "Disk quota exceeded"),
        (errno.EACCES, "Permission denied"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_a_disk_refuses_is_one_line_wherever_it_was_met(
    program: list[str], environment: dict[str, str], number: int, words: str
) -> None:
    done = run(program, environment, "disk", str(number), "--name", "/a/model.json")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: /a/model.json cannot be read or written ({words}); what was finished")
    assert done.stderr.count("\n") == 1
    assert f"error: a file cannot be read or written ({words})" in run(program, environment, "disk", str(number)).stderr


def test_another_error_of_the_system_is_a_fault_of_ours(program: list[str], environment: dict[str, str]) -> None:
    assert "Traceback" in run(program, environment, "disk", str(errno.EBADF)).stderr


def test_a_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("the ledger is empty \x1b", "the ledger is empty \x1b", "so is the journal"):
        console.warn(text)
    assert capsys.readouterr().err == "the ledger is empty \\x1b\nso is the journal\n"


def test_a_fault_of_ours_keeps_its_traceback(program: list[str], environment: dict[str, str]) -> None:
    done = run(program, environment, "fault")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'a fault of ours'" in done.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["work"], ["work", "many"], ["work", "3", "--nonsense"]])
def test_bad_usage_is_exit_code_2_without_a_traceback(
    program: list[str], environment: dict[str, str], arguments: list[str]
) -> None:
    done = run(program, environment, *arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_says_that_the_work_goes_on_from_here(program: list[str], environment: dict[str, str]) -> None:
    code, errors = interrupt(program, environment, subprocess.PIPE)
    assert code == 130
    assert errors is not None
    assert errors.endswith("\nInterrupted. Nothing that was finished is lost: the same command goes on from here.\n")
    assert "Traceback" not in errors


@pytest.mark.slow
def test_ctrl_c_in_a_progress_bar_gives_the_cursor_back(
    program: list[str], environment: dict[str, str], terminal: tuple[int, int]
) -> None:
    code, _ = interrupt(program, environment, terminal[1])
    assert code == 130
    text = shown(terminal)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # show, after the last hide
    assert "Interrupted." in text
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("total", "step", "lines"),
    [
        (20, 1, [f"embedding: {done}/20" for done in range(2, 21, 2)]),
        (3, 1, ["embedding: 1/3", "embedding: 2/3", "embedding: 3/3"]),
        (20, 20, ["embedding: 20/20"]),
        (0, 1, []),
    ],
)
def test_progress_away_from_a_terminal_is_a_plain_line_every_tenth(
    program: list[str], environment: dict[str, str], total: int, step: int, lines: list[str]
) -> None:
    done = run(program, environment, "work", str(total), "--step", str(step))
    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert done.stderr.splitlines() == lines


def test_progress_on_a_terminal_is_a_bar(
    program: list[str], environment: dict[str, str], terminal: tuple[int, int]
) -> None:
    done = subprocess.run([*program, "work", "20"], env=environment, stdout=subprocess.PIPE, stderr=terminal[1])
    assert done.returncode == 0
    assert done.stdout == b"done\n"  # the bar stays out of what a script reads
    text = shown(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"embedding ━+ 20/20", plain)
    assert "embedding: " not in plain


def test_names_are_printed_as_they_are_and_what_cannot_be_seen_is_spelt_out(
    program: list[str], environment: dict[str, str], terminal: tuple[int, int]
) -> None:
    done = run(program, environment, "names")
    assert done.stdout.startswith("a:cat:b.jpg\n{\n")
    assert json.loads(done.stdout.partition("\n")[2]) == {"a\x1b": ["\u202eb", 1.5], ":cat:": "é"}
    assert is_seen(done.stdout.replace("\n", "")) and "é" in done.stdout
    assert "c\\x1b[2J:cat:.jpg\n" in done.stderr
    # What is said while a bar is up is still what a script reads.
    piped = subprocess.run([*program, "names"], env=environment, stdout=subprocess.PIPE, stderr=terminal[1])
    assert piped.stdout.decode() == done.stdout


def test_a_line_that_is_said_stays_whole_and_shows_what_cannot_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[bold]" + "long " * 40 + "\x1b[31m\n.")
    assert capsys.readouterr().out == "[bold]" + "long " * 40 + "\\x1b[31m\\n.\n"


def test_a_table_sets_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("name", "kept", "lost", "why"), [("[a]", 1, 20, "x\n"), ("b", 1000, 3, "y")], numbers=(1, 2))
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert said == ["name  kept  lost  why", "[a]      1    20  x\\n", "b     1000     3  y"]


def test_a_table_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("name", "kept"), [])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("number", "text"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes")])
def test_things_are_counted_in_words(number: int, text: str) -> None:
    assert console.count(number, "class", "classes") == text
