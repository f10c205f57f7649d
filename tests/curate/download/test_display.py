"""What a person sees while links are asked, and at the end."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from curate.download.display import Display, summary
from curate.download.results.progress import Cause, Class, Progress

# A download of 2,000 links, and one that is interrupted by a fault.
PROGRAM = r"""
import sys, time
from curate.download.display import Display

with Display("downloading", 2000) as display:
    for done in range(0, 2001, 20):
        display.update(
            answered=done, kept=done // 2, dropped=done - done // 2, waiting=2000 - done,
            slowest=("a-very-long-name-of-a-host-that-is-slow.and-longer-still.example.org", 12345, 678.9),
        )
        time.sleep(0.01)
        if done == 1000 and sys.argv[1:] == ["fail"]:
            raise RuntimeError("a fault")
"""


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def in_terminal(tmp_path: Path, columns: int, *arguments: str) -> tuple[int, str]:
    """Exit code of the program, and all that a terminal of so many columns was sent."""
    (tmp_path / "program.py").write_text(PROGRAM)
    ignored = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"}
    environment = {k: v for k, v in os.environ.items() if k not in ignored}
    environment |= {"TERM": "xterm-256color", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, str(tmp_path / "program.py"), *arguments]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    ) as program:
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while block := os.read(ours, 65536):
                text += block
    os.close(ours)
    return program.returncode, text.decode()


def lines(sent: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    return [line for line in re.split(r"[\r\n]+", plain) if line]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 140])
def test_a_terminal_shows_a_bar_and_counts_on_lines_that_fit(tmp_path: Path, columns: int) -> None:
    code, sent = in_terminal(tmp_path, columns)
    assert code == 0
    found = lines(sent)
    assert max(map(len, found)) <= columns
    assert len(found) > 4  # it was drawn again and again
    bar, counts, slowest = found[-3:]
    assert re.fullmatch(r"downloading +━+ +2,000/2,000 +\d:\d\d:\d\d *", bar)
    assert re.match(r"[\d,]+/s  kept 1,000  dropped 1,0", counts)
    assert slowest.startswith("slowest: a-very-long-name-of-a-host")
    if columns >= 80:
        assert counts.rstrip().endswith("waiting 0")
        assert slowest.rstrip() == "slowest: a-very-long-name-of-a-host-that-is-slow…, 12,345 left, 679 s"


@pytest.mark.slow
def test_a_terminal_gets_its_cursor_back_after_a_fault(tmp_path: Path) -> None:
    code, sent = in_terminal(tmp_path, 80, "fail")
    assert code == 1
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")
    assert "a fault" in sent


def test_elsewhere_a_line_is_said_for_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Display("downloading", 28_450, clock=clock) as display:
        for done in range(0, 28_451, 25):
            clock.now = done / 500
            display.update(answered=done, kept=done * 2 // 3, dropped=done - done * 2 // 3, waiting=28_450 - done)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 10
    assert said[0] == "downloading: 2,850/28,450, 500/s, kept 1,900, dropped 950"
    assert said[-1] == "downloading: 28,450/28,450, 500/s, kept 18,966, dropped 9,484"


def test_elsewhere_a_line_is_said_every_half_minute_however_slow(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Display("downloading", 100_000, clock=clock) as display:
        for second in range(1, 100):
            clock.now = second
            slowest = ("4.bp.blogspot.com", 120, 60.0)
            display.update(answered=second, kept=second, dropped=0, waiting=1, slowest=slowest)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == [f"downloading: {n}/100" for n in (30, 60, 90)]
    assert said[0].endswith("1/s, kept 30, dropped 0, slowest 4.bp.blogspot.com (120 left)")


def test_the_rate_is_that_of_the_last_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Display("downloading", 100_000, clock=clock) as display:
        done = 0
        for second in range(1, 61):
            clock.now = second
            done += 100 if second <= 45 else 7
            display.update(answered=done, kept=done, dropped=0, waiting=0)
    assert [line.split(", ")[1] for line in capsys.readouterr().err.splitlines()] == ["100/s", "7/s"]


def test_a_download_of_nothing_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("downloading", 0) as display:
        display.update(answered=0, kept=0, dropped=0, waiting=0)
    assert capsys.readouterr() == ("", "")


def progress_of(kept: list[int]) -> Progress:
    """Classes that kept so many of 50 links; the others were not found."""
    dropped = 50 * len(kept) - sum(kept)
    return Progress(
        links=50 * len(kept),
        kept=sum(kept),
        waiting=0,
        dropped=dropped,
        causes=[Cause("not found", dropped, ["a/[1].jpg", "a/2.jpg"])] if dropped else [],
        classes=[Class(f"class {n:02}", 50, number, 0, 50 - number) for n, number in enumerate(kept)],
        hosts=[],
    )


def test_the_end_says_what_became_of_the_links_and_which_classes_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    summary(progress_of([50, 42, 0, 43]), 43, Path("runs/yoga"))
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "links: 200 listed, 135 kept, 65 dropped, 0 waiting",
        "dropped because links such as",
        "not found 65 a/[1].jpg",
        "2 classes kept fewer than 43 images:",
        "class kept of links",
        "class 02 0 50 below 43",
        "class 01 42 50 below 43",
    ]


def test_fifteen_short_classes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    summary(progress_of(list(range(20))), 43, Path("runs/yoga"))
    said = capsys.readouterr().out
    assert said.count("below 43") == 15
    assert said.endswith("and 5 more; curate status runs/yoga lists them\n")


def test_nothing_is_said_of_classes_that_have_enough(capsys: pytest.CaptureFixture[str]) -> None:
    summary(progress_of([50, 50]), 43, Path("runs/yoga"))
    assert capsys.readouterr().out == "links: 100 listed, 100 kept, 0 dropped, 0 waiting\n"
