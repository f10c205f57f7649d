"""What the three commands share at the terminal: entry point, errors, progress, tables."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from curate.errors import FewposeError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def application(help_text: str) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run(app: typer.Typer) -> None:
    """Run a command line; a user's mistake becomes one sentence and an exit code (1 failed, 2 bad usage)."""
    try:
        app()
    except FewposeError as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == 130:  # what Typer makes of Ctrl-C
            err.print(
                "\nInterrupted. Nothing that was finished is lost: the same command goes on from here.", soft_wrap=True
            )
        raise


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, a line every tenth elsewhere; yields `advance(steps)`."""
    if err.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        before, done = done, done + steps
        if total and done * 10 // total > before * 10 // total:
            err.print(f"{what}: {done}/{total}", soft_wrap=True)

    yield advance
