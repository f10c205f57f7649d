"""`curate download`: its options, and what it prints."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.download.web.outcome import Retry
from curate.download.web.settings import ARCHIVE, Settings
from curate.foundation import console, shared_options
from curate.foundation.options import option
from curate.foundation.text import command_line
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from curate.download.lists.formats import Problem
    from curate.download.run import DownloadSummary

_NAMED = 5  # lines of lists that are named on the terminal


def download(
    links: Annotated[Path, typer.Argument(help="A folder of link lists, one list, or a CSV or Parquet file.")],
    collection: Annotated[Path, typer.Argument(help="The collection to make, or to go on with.")],
    *,
    splits: Annotated[
        str, option("Files of the official split: yoga_train.txt,yoga_test.txt (or train=FILE,test=FILE).")
    ] = "",
    retry: Annotated[Retry, option("Links that are asked again although they had an answer.")] = Retry.TRANSIENT,
    minutes: Annotated[
        float | None,
        option("Minutes, after which nobody is asked any more; 0 makes the tables of what is there.", ge=0),
    ] = None,
    warn_below: Annotated[int, option("Number of images, below which a class is named.", ge=0)] = 43,
    archive: Annotated[bool, option("Ask an archive for links that are gone.")] = False,
    archive_endpoint: Annotated[str, option("Address of that archive's availability API (Wayback-style).")] = ARCHIVE,
    settings: Settings,
    workers: WorkerSettings,
    cache: shared_options.Cache = None,
) -> None:
    """Download link lists into a collection. Run again, it goes on: nothing that had an answer is asked twice.

    Only what decodes whole as an image is kept, byte for byte. What became of every other link is in
    COLLECTION/rejects.parquet and, with each answer, in COLLECTION/downloads.jsonl.

    Example: curate download yoga_dataset_links/ runs/yoga82 --splits yoga_train.txt,yoga_test.txt
    """
    from curate.download.lists.source import require

    require(links)

    import pyarrow

    from curate.collection.directory import Collection
    from curate.download import display, run
    from curate.download.results.progress import Progress

    # Arrow's own allocator keeps what was freed: of 100,000 links 40 MB, all the while that they are asked.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    settings = replace(settings, archive=archive_endpoint if archive else "")
    make_engine = run.engine_for(workers)
    summary = run.download(
        links,
        collection,
        splits=splits,
        settings=settings,
        retry=retry,
        minutes=minutes,
        make_engine=make_engine,
        caches=cache,
    )
    _print(summary)
    display.summary(Progress.of(Collection.open(collection)), warn_below, collection)
    console.say(f"next: {command_line('curate', 'status', collection)}")


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
