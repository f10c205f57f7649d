"""What has been listed for a collection, and which of it is still to be asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pandas as pd

from curate.collection.directory import Collection, check_names
from curate.download.lists.links import Link
from curate.download.results.journal import NAME as JOURNAL
from curate.download.results.journal import Journal, Row
from curate.download.web import archive
from curate.download.web.job import Job
from curate.download.web.outcome import FAILED, LOST, TRANSIENT, Outcome, Retry
from curate.download.web.settings import Settings
from curate.foundation import console, parquet

COLUMNS = {"key": "str", "label": "str", "url": "str", "official_split": "str"}
_FACTS = ["url", "id", "bytes", "width", "height", "format", "mode", "frames"]  # of a Row and of the image table
_AGAIN = "give curate download all lists again that were downloaded"


def listed(collection: Collection) -> pd.DataFrame:
    """COLUMNS of every link that was ever listed, sorted by key; empty where nothing was downloaded.

    Says where the table was deleted. Raises FewposeError where it is damaged, or has a key that leads out of the
    collection.
    """
    path = collection.file("links.parquet")
    try:
        table = parquet.read(path, COLUMNS, f"delete it and {_AGAIN}: what is here is not asked for again")
    except FileNotFoundError:
        if collection.file(JOURNAL).exists():
            console.warn(f"{path} is missing: which links there were is not known; {_AGAIN}")
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    check_names(path, table["key"])
    return table


def remember(collection: Collection, links: Sequence[Link]) -> None:
    """Add to what was listed; a key that is listed anew counts as it is listed now."""
    # A column at a time: a list of rows would be as large as the links.
    now = pd.DataFrame({name: pd.Series([getattr(link, name) for link in links], dtype="str") for name in COLUMNS})
    before = listed(collection)
    others = before[~before["key"].isin(now["key"])]
    table = (pd.concat([others, now]) if len(others) else now).sort_values("key", ignore_index=True)
    if not table.equals(before):
        parquet.write(collection.file("links.parquet"), table)


def lost_rows(images: pd.DataFrame, journal: Journal) -> list[Row]:
    """The rows that a journal has lost, as far as the image table knows them: of the pictures that were kept.

    A line that was damaged may have been that of an archive's copy, behind a row that says that the link is dead.
    """
    kept = {url for (url, _), row in journal.rows.items() if row.outcome == Outcome.KEPT}
    pictures = images[images["source"] == "download"]
    lost: list[dict[Any, Any]] = pictures.loc[~pictures["url"].isin(kept), _FACTS].to_dict("records")
    found = []
    for told in lost:
        direct = journal.rows.get((told["url"], ""))
        if direct is None or journal.damaged:
            detail = "as the image table has it: the journal lost its line"
            found.append(Row(outcome=Outcome.KEPT, via=archive.VIA if direct else "", detail=detail, **told))
    return found


def jobs(urls: Iterable[str], rows: Mapping[tuple[str, str], Row], settings: Settings, retry: Retry) -> Iterator[Job]:
    """What to ask for links whose bytes are not there: the link itself, an archive, or nothing."""
    for url in urls:
        direct, copy = rows.get((url, "")), rows.get((url, archive.VIA))
        if settings.archive and copy is not None and copy.outcome == Outcome.KEPT:
            yield archive.job(url, settings.archive)
        elif direct is None or direct.outcome == Outcome.KEPT or worth_asking(direct, settings, retry):
            yield Job(url, url)
        elif settings.archive and direct.outcome in LOST:
            yield from archive_jobs([url], rows, settings, retry)


def archive_jobs(
    urls: Iterable[str], rows: Mapping[tuple[str, str], Row], settings: Settings, retry: Retry
) -> Iterator[Job]:
    """What to ask the archive for links that are lost."""
    for url in urls:
        copy = rows.get((url, archive.VIA))
        if copy is None or worth_asking(copy, settings, retry):
            yield archive.job(url, settings.archive)


def in_turn(jobs: Iterable[Job], rows: Mapping[tuple[str, str], Row], run: int) -> list[Job]:
    """The order in which they are asked: those that failed in an earlier run last, and marked so.

    Otherwise it is that of a hash. Where a host is given up, links that hang don't stand before the same others each
    time, as they would in the order of URLs or of the list.
    run: a number that is another one for each run.
    """

    def marked(job: Job) -> Job:
        row = rows.get((job.url, job.via))
        return replace(job, failed_before=True) if row and row.outcome in FAILED else job

    def place(job: Job) -> tuple[bool, bytes]:
        return job.failed_before, blake2b(f"{run} {job.url}".encode(), digest_size=8).digest()

    return sorted(map(marked, jobs), key=place)


def worth_asking(row: Row, settings: Settings, retry: Retry) -> bool:
    """Whether a link that had this answer may have a better one now."""
    if retry is Retry.NONE:
        return False
    return retry is Retry.ALL or row.outcome in TRANSIENT or _loosened(row, settings)


def _loosened(row: Row, settings: Settings) -> bool:
    """Whether it was refused by a limit that it would pass today."""
    match row.outcome:
        case Outcome.TOO_LARGE:
            return settings.max_bytes > row.limit
        case Outcome.TOO_MANY_PIXELS:
            return settings.max_pixels >= row.width * row.height and settings.max_pixels > row.limit
        case Outcome.TOO_SMALL:
            return settings.min_side <= min(row.width, row.height)
        case Outcome.OPTED_OUT:
            return settings.ignore_noai
        case Outcome.BLOCKED_ADDRESS:
            return settings.allow_private
    return False
