"""The command `fewshot predict`: it parses, asks for answers, and prints them."""

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.foundation import console, shared_options
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import command
from curate.foundation.options import option
from fewshot import flags
from fewshot.predicting.settings import PredictSettings

if TYPE_CHECKING:
    from fewshot.predicting.answers import Answer
    from fewshot.predicting.writing import Writer

MANY = 100  # pictures, from which on the progress is shown


@command
def predict(
    model: flags.Kept,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures, videos, folders of them, and lists of them.", show_default=False),
    ] = None,
    *,
    settings: PredictSettings,
    urls: Annotated[bool, option("Read links from standard input: one a line, or a table.")] = False,
    json: Annotated[bool, option("Print a line of JSON for each picture or frame.")] = False,
    csv: Annotated[bool, option("Print a table of pictures and frames.")] = False,
    device: shared_options.Device = "auto",
) -> None:
    """Say what pictures and videos show, with calibrated probabilities. A file that can't be read is one line of error.

    Example: fewshot predict models/yoga PHOTO.jpg FOLDER/ VIDEO.mp4

    Example: fewshot predict models/yoga links.csv

    Example: fewshot predict models/yoga --urls --csv < links.txt > answers.csv
    """
    from curate.lists.lines import decoded
    from fewshot.predicting.sources import of_lines, sources
    from fewshot.trained import ready

    if json and csv:
        raise UsageError("--json or --csv, not both")
    if not (paths or urls):
        raise UsageError("name pictures, videos or folders, or say --urls and give links on standard input")
    ready.require(model)
    found, others = sources(paths or ())
    if not (found or urls):
        raise UsageError(f"there is neither a picture nor a video in {', '.join(map(str, paths or ()))}")

    from fewshot.predicting.predict import Predictor
    from fewshot.trained.directory import load

    predictor = Predictor(load(ready.directory_of(model), device), settings)
    parts = predictor.sources(found)
    if urls:
        parts = chain(parts, predictor.sources(of_lines(map(decoded, sys.stdin.buffer))))
    failed, asked = _write(_writer(settings, json, csv), parts, len(found))
    if not asked:
        raise UsageError("there is no link on standard input")
    if others:
        console.note(f"{console.count(others, 'other file')} in these folders: neither picture nor video")
    if failed:
        console.note(f"{failed} of {asked} could not be looked at", style="red")
        raise typer.Exit(1)


def _writer(settings: PredictSettings, json: bool, csv: bool) -> "Writer":
    from fewshot.predicting.writing import Csv, Json, Text

    return Json() if json else Csv(settings.top) if csv else Text(settings.fps)


def _write(writer: "Writer", parts: "Iterable[list[Answer]]", total: int) -> tuple[int, int]:
    """Print all answers and errors. Returns how many files failed, and how many there were."""
    failed = asked = 0
    with console.progress("looking", total if total >= MANY and not sys.stdout.isatty() else 0, "file") as advance:
        for line in writer.head():
            console.say(line)
        for answers in parts:
            for line in writer.lines(answers):
                console.say(line)
            if answers[0].error:
                failed += 1
                console.note(f"error: {answers[0].file}: {answers[0].error}", style="red")
            asked += 1
            advance(1)
    return failed, asked
