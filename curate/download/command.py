"""`curate download`: its options, and what it prints."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.download.web.outcome import Retry
from curate.download.web.settings import ARCHIVE, Settings
from curate.foundation import console
from curate.workers import options
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from curate.download.lists.formats import Problem
    from curate.download.run import DownloadSummary

_NAMED = 5  # lines of lists that are named on the terminal
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def amount(text: str | int) -> int:
    """20000000 of "20M"."""
    number, unit = str(text), ""
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1:]
    try:
        return round(float(number) * _UNITS[unit])
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text!r} is not a number such as 20000000 or 20M") from error


_amount: Any = partial(typer.Option, parser=amount, metavar="NUMBER")


def download(
    links: Annotated[Path, typer.Argument(help="A folder of link lists, one list, or a CSV or Parquet file.")],
    collection: Annotated[Path, typer.Argument(help="The collection to make, or to go on with.")],
    splits: Annotated[
        str, typer.Option(help="The official split: yoga_train.txt,yoga_test.txt (or train=FILE,test=FILE).")
    ] = "",
    retry: Annotated[Retry, typer.Option(help="Which links that had an answer to ask again.")] = Retry.TRANSIENT,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Ask nobody after that; 0 makes the tables of what is there.", show_default=False),
    ] = None,
    warn_below: Annotated[int, typer.Option(min=0, help="Name the classes that keep fewer images.")] = 43,
    archive: Annotated[bool, typer.Option("--archive", help="Ask an archive for links that are gone.")] = False,
    archive_endpoint: Annotated[str, typer.Option(help="Which one, Wayback-style.")] = ARCHIVE,
    contact: Annotated[str, typer.Option(help="Your mail address or page, for those whose servers you ask.")] = "",
    connections: Annotated[int, typer.Option(min=1, help="At once, in all.")] = Settings.connections,
    per_site: Annotated[int, typer.Option(min=1, help="At once, to one site.")] = Settings.per_site,
    spacing: Annotated[float, typer.Option(min=0, help="Seconds between requests to a site.")] = Settings.spacing,
    connect_timeout: Annotated[float, typer.Option(help="Seconds.")] = Settings.connect_timeout,
    read_timeout: Annotated[float, typer.Option(help="Seconds without a byte.")] = Settings.read_timeout,
    deadline: Annotated[float, typer.Option(help="Seconds for one link, all in all.")] = Settings.deadline,
    attempts: Annotated[int, typer.Option(min=1, help="For one link in one run.")] = Settings.attempts,
    min_side: Annotated[int, typer.Option(min=1, help="Drop pictures with a shorter side.")] = Settings.min_side,
    max_bytes: Annotated[int, _amount(help="Drop larger files.")] = Settings.max_bytes,
    max_pixels: Annotated[int, _amount(help="Drop larger pictures, undecoded.")] = Settings.max_pixels,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also ask addresses that are not on the public internet.")
    ] = False,
    ignore_noai: Annotated[
        bool, typer.Option("--ignore-noai", help="Keep what its server marks noai or noimageai.")
    ] = False,
    workers: options.Workers = 0,
    engine: options.Engine = options.EngineName.AUTO,
    address: options.Address = "",
) -> None:
    """Download link lists into a collection. Run again, it goes on: nothing that had an answer is asked twice.

    Only what decodes whole as an image is kept, byte for byte. What became of every other link is in
    COLLECTION/rejects.parquet and, with each answer, in COLLECTION/downloads.jsonl.

    Example: curate download yoga_dataset_links/ runs/yoga82 --splits yoga_train.txt,yoga_test.txt
    """
    import pyarrow

    from curate.collection.directory import Collection
    from curate.download import display, run
    from curate.download.results.progress import Standing

    # Arrow's own allocator keeps what was freed: of 100,000 links 40 MB, all the while that they are asked.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    settings = Settings(
        connections=connections,
        per_site=per_site,
        spacing=spacing,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        deadline=deadline,
        attempts=attempts,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        min_side=min_side,
        allow_private=allow_private,
        ignore_noai=ignore_noai,
        contact=contact,
        archive=archive_endpoint if archive else "",
    )
    make_engine = run.elsewhere(WorkerSettings(engine, workers, address))
    summary = run.download(
        links, collection, splits=splits, settings=settings, retry=retry, minutes=minutes, make_engine=make_engine
    )
    _print(summary)
    display.summary(Standing.of(Collection.open(collection)), warn_below, collection)
    console.say(f"next: curate status {collection}")


def _print(summary: "DownloadSummary") -> None:
    known = f", {summary.known:,} had their answer before" if summary.known else ""
    console.say(f"{summary.root}: {console.count(summary.asked, 'link')} asked, {summary.kept:,} kept{known}")
    if summary.left:
        console.say(f"  time is up: {console.count(summary.left, 'link')} still to ask; the same command goes on")
    if summary.imported:
        console.say(f"  {console.count(summary.imported, 'link')} not asked: an imported image has the key")
    if summary.unsplit:
        console.say(f"  {console.count(summary.unsplit, 'link')} of no official split")
    _print_problems(summary.problems)


def _print_problems(problems: "list[Problem]") -> None:
    for problem in problems[:_NAMED]:
        console.say(f"  {problem}")
    if len(problems) > _NAMED:
        console.say(f"  and {len(problems) - _NAMED:,} more lines that could not be used")
