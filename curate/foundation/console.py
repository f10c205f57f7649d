"""What the three commands share at the terminal: entry point, errors, progress, tables."""

import errno
import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from curate.foundation.errors import FewposeError
from curate.foundation.text import json_text, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

out = Console(highlight=False, emoji=False)  # ":cat:" in a name stays as it is
err = Console(stderr=True, highlight=False, emoji=False)
_said: set[str] = set()  # warnings

# What no command can help: a full disk, one that is read-only or broken, a folder without permission.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


def application(help_text: str) -> typer.Typer:
    """A Typer application that shows help where no command is given, and errors in one sentence (see `run`)."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run(app: typer.Typer) -> None:
    """Run a command line; a user's mistake becomes one sentence and an exit code (1 failed, 2 bad usage).

    So does what a disk or its owner refuses and no command has explained: it can happen wherever something is written.
    """
    try:
        app()
    except FewposeError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        _fail(
            f"{error.filename or 'a file'} cannot be read or written ({error.strerror}); what was finished is kept: "
            "make room or make it accessible, and the same command goes on",
            FewposeError.exit_code,
        )
    except SystemExit as stop:
        if stop.code == 130:  # what Typer makes of Ctrl-C
            err.print(
                "\nInterrupted. Nothing that was finished is lost: the same command goes on from here.", soft_wrap=True
            )
        raise


def _fail(sentence: str, exit_code: int) -> NoReturn:
    note(f"error: {sentence}", style="red")
    sys.exit(exit_code)


@contextmanager
def progress(what: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, a line every tenth elsewhere; yields `advance(steps)`.

    unit: what a step is, such as "image": then it also says how many were done a second.
    """
    if err.is_terminal:
        rate = (_Rate(unit),) if unit else ()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *rate, TimeRemainingColumn())
        with Progress(*columns, console=err, speed_estimate_period=600.0 if unit else 30.0) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    done, began = 0, time.monotonic()

    def advance(steps: int) -> None:
        nonlocal done
        before, done = done, done + steps
        if total and done * 10 // total > before * 10 // total:
            seconds = time.monotonic() - began
            pace = f", {_pace(done / seconds, unit)}, {_left((total - done) * seconds / done)} left" if unit else ""
            note(f"{what}: {done}/{total}{pace}")

    yield advance


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_pace(speed, self._unit) if speed else "")


def _pace(rate: float, unit: str) -> str:
    return f"{rate:.1f} {unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"


def _left(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def count(number: int, one: str, many: str = "") -> str:
    """One image, or 2 images; `many` where an s does not do."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def warn(text: str) -> None:
    """Say something to whom it concerns, once, however often it is found out in this process."""
    if text not in _said:
        _said.add(text)
        note(text, style="yellow")


def say(text: str) -> None:
    """Print a line; it is not broken, so that paths can be copied."""
    out.print(shown(text), markup=False, soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """Print a line to standard error, where it stays out of what a script reads; it is not broken."""
    err.print(shown(text), style=style, markup=False, soft_wrap=True)


def say_json(value: object, *, sort_keys: bool = False) -> None:
    """Print a value for programs."""
    from rich.highlighter import JSONHighlighter

    out.print(JSONHighlighter()(json_text(value, indent=1, sort_keys=sort_keys)), soft_wrap=True)


def show(table: "RenderableType") -> None:
    """Print a table that was made elsewhere; its texts are of `texts`."""
    out.print(table)


def texts(cells: Iterable[object]) -> list[Text]:
    """Cells of a rich table: no markup is read in them, and they can't play with the terminal."""
    return [Text(shown(cell)) for cell in cells]


def table(headings: tuple[str, ...], rows: Iterable[tuple[object, ...]], numbers: Container[int] = (1,)) -> None:
    """Print a table, or nothing where there are no rows. numbers: which columns are set to the right."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*texts(row))
    if grid.row_count:
        show(grid)
