"""The download itself: asks what is to be asked, judges every answer, and writes down what became of it.

Everything that counts is in the journal and in images/: a row is appended when its bytes are in place. The tables are a
function of the two and of the lists, made at the end. So a run that was killed goes on where it was, and ends with the
same tables as one that was not.
"""

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from curate.collection.directory import Collection
from curate.collection.file_writer import FileWriter
from curate.download.display import Display
from curate.download.engines import retry, shards
from curate.download.engines.local import Counts, LocalEngine
from curate.download.lists import links, split_files
from curate.download.lists.formats import Problem
from curate.download.lists.links import Link
from curate.download.results import pending, tables
from curate.download.results.journal import NAME as JOURNAL
from curate.download.results.journal import Journal, Row
from curate.download.results.store import Store
from curate.download.web import archive, urls
from curate.download.web.fetch import make_fetcher
from curate.download.web.job import Answer, Job, Moved, Result
from curate.download.web.outcome import AGAIN, LOST, Outcome, Retry
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation
from curate.foundation import console
from curate.foundation.errors import FewposeError
from curate.foundation.freed_memory import give_back_freed_memory
from curate.images.signatures import Signatures
from curate.workers.settings import WorkerSettings

_MOST_PROCESSES = 2  # more fetch no faster than this process handles results; each takes 60 MB
_OFFLINE = 20  # hosts that could not be looked up, while nobody has answered: then this machine is offline
_SECONDS_BETWEEN_TAKES = 0.02  # results come in bunches then: a change of threads costs more than handling one


class Engine(Protocol):
    """Makes requests within each site's limits. `on_threads`, `on_processes` and what `engine_for` returns make one."""

    def submit(self, job: Job, delay: float = 0.0) -> None: ...
    def take(self, timeout: float) -> list[Result]: ...
    @property
    def idle(self) -> bool: ...
    def counts(self) -> Counts: ...
    def stop(self) -> None: ...


class _Threads(LocalEngine[Cancellation]):
    def __init__(self, settings: Settings) -> None:
        self._fetcher = make_fetcher(settings, os.cpu_count() or 1)
        super().__init__(partial(archive.fetch, self._fetcher), Cancellation, settings)

    def stop(self) -> None:
        super().stop()
        self._fetcher.close()


def on_threads(settings: Settings) -> Engine:
    """Threads of this process."""
    return _Threads(settings)


def engine_for(asked: WorkerSettings) -> Callable[[Settings], Engine]:
    """Makes an engine of the workers that are asked for; one alone is threads of this process."""
    if asked.engine == "ray":
        return lambda settings: shards.on_ray(
            partial(archive.make_fetch, settings), settings, asked.workers, asked.address
        )
    if asked.workers == 1:
        return on_threads
    return partial(on_processes, processes=asked.workers)


def on_processes(settings: Settings, processes: int = 0) -> Engine:
    """So many processes of this machine; 0: as many as bring something."""
    cpus = os.cpu_count() or 1
    processes = processes or min(_MOST_PROCESSES, cpus)
    return shards.on_processes(partial(archive.make_fetch, settings, max(1, cpus // processes)), settings, processes)


@dataclass(frozen=True)
class DownloadSummary:
    """What one run did. What the collection holds afterwards, `results.progress.Progress` tells."""

    root: Path
    asked: int  # links that got their answer in this run
    kept: int  # of them
    known: int  # links that had an answer before and were not asked again
    left: int  # links that were still to be asked when the time was up
    imported: int  # links that were not asked because an image that was not downloaded has their key
    unsplit: int  # links that the official split, if there is one, does not know
    problems: list[Problem]  # lines of the lists that could not be used


def download(
    source: Path,
    collection: Path,
    *,
    splits: str = "",
    settings: Settings | None = None,
    retry: Retry = Retry.TRANSIENT,
    minutes: float | None = None,
    make_engine: Callable[[Settings], Engine] = on_threads,
    caches: Path | None = None,
) -> DownloadSummary:
    """Bring what the links of `source` still hold into `collection`, which is made where it doesn't exist.

    source: a folder of link lists, one list, a CSV or a Parquet file (see `links.read`).
    splits: the official split's files (see `split_files.read`).
    retry: which links that had an answer are asked again.
    minutes: ask nobody after that; the tables are made of what there is by then.
    caches: as of `Collection`.

    Raises UsageError where the lists make no sense, FewposeError where the machine is offline or the disk is full.
    KeyboardInterrupt passes through; whatever was answered by then is in the journal.
    """
    official = split_files.read(splits) if splits else None
    listing = links.read(source, official)
    problems = [*listing.problems, *(official.problems if official else ())]
    unsplit = sum(not link.official_split for link in listing.links) if official else 0
    try:
        target = Collection.create(collection, caches)
        with target.locked(), FileWriter(target) as writer:
            store = Store(target, writer)
            run = _Run(target, listing.links, settings or Settings(), store, make_engine)
            imported = sum(link.key in run.imported for link in listing.links)
            del listing, official  # what is needed of them is in `run`: they are large
            give_back_freed_memory()
            left = run.complete(problems, retry, minutes)
    except OSError as error:  # the web's errors are outcomes; this is writing
        raise FewposeError(f"cannot write {error.filename or collection}: {error.strerror}") from error
    return DownloadSummary(
        root=collection,
        asked=len(run.answered),
        kept=run.kept,
        known=len(run.keys.keys() - run.answered - left),
        left=len(left),
        imported=imported,
        unsplit=unsplit,
        problems=problems,
    )


class _Run:
    """One run over the links of a collection that is held locked."""

    def __init__(
        self,
        target: Collection,
        listed: list[Link],
        settings: Settings,
        store: Store,
        make_engine: Callable[[Settings], Engine],
    ) -> None:
        self.target = target
        self.settings = settings
        self.store = store
        self.make_engine = make_engine
        pending.remember(target, listed)
        self.imported = tables.imported(target)
        self.keys: dict[str, list[str]] = defaultdict(list)  # of each URL
        for link in listed:
            if link.key not in self.imported:
                self.keys[link.url].append(link.key)
        self.answered: set[str] = set()  # URLs
        self.kept = 0  # of these
        self.transient: dict[str, Answer] = {}  # what links got that wait for another attempt
        self.unknown_hosts: set[str] | None = set()  # that could not be looked up, until somebody answers

    def complete(self, problems: list[Problem], retry: Retry, minutes: float | None) -> set[str]:
        """Ask, write the tables; the URLs that were left when the time was up."""
        until = time.monotonic() + minutes * 60 if minutes is not None else float("inf")
        with (
            Journal.open(self.target.file(JOURNAL)) as self.journal,
            Signatures(self.target) as self.signatures,
        ):
            lost = pending.lost_rows(self.target.images(missing_ok=True), self.journal)
            if self.journal.damaged or lost:
                known = f"{console.count(len(lost), 'picture')} taken from the image table, "
                console.warn(f"{self.journal.damage()}; {known if lost else ''}what else stood there is asked again")
            for row in lost:
                self.journal.append(row)
            missing = [url for url in self.keys if not self._have(url)]
            left = self._ask(list(pending.jobs(missing, self.journal.rows, self.settings, retry)), until)
            replaceable = self._tables(problems)
            if self.settings.archive and not left:
                jobs = list(pending.archive_jobs(replaceable, self.journal.rows, self.settings, retry))
                left = self._ask(jobs, until)
                if jobs:
                    self._tables(problems)
        return left

    def _tables(self, problems: list[Problem]) -> list[str]:
        """The URLs that gave a placeholder."""
        give_back_freed_memory()
        return tables.write(self.target, self.journal.rows, problems, self.store, self.signatures)

    # What is there

    def _have(self, url: str) -> bool:
        """Whether the bytes of a link are there under each of its keys; what only some have is copied."""
        row = tables.best(url, self.journal.rows)
        return row is not None and row.outcome == Outcome.KEPT and self._have_all(row)

    def _have_all(self, row: Row) -> bool:
        found = {key: self.store.find(key, row.id, row.bytes) for key in self.keys[row.url]}
        if all(found.values()):
            return True
        file = next(filter(None, found.values()), None)
        content = self.store.read(file) if file else b""
        if hashlib.sha256(content).hexdigest() != row.id:
            return False
        return all(file or self.store.put(key, row.id, content) for key, file in found.items())

    # Asking

    def _ask(self, jobs: list[Job], until: float) -> set[str]:
        """Ask all of them, with all that follows from their answers; the URLs that were left when the time was up."""
        self.open = {job.url for job in jobs}  # that have no final answer
        self.found = 0  # pictures for them
        if not jobs or time.monotonic() > until:
            return self.open
        total = len(jobs)
        self.engine = self.make_engine(self.settings)
        try:
            with Display("downloading", total) as display:
                for job in pending.in_turn(jobs, self.journal.rows, run=self.journal.lines):
                    self.engine.submit(job)
                del jobs
                while not self.engine.idle and time.monotonic() < until:
                    time.sleep(_SECONDS_BETWEEN_TAKES)
                    for result in self.engine.take(timeout=0.1):
                        self._handle(result)
                    self._show(display, total - len(self.open))
        finally:
            self.engine.stop()
        return self.open

    def _show(self, display: Display, done: int) -> None:
        kept, slowest = self.found, self.engine.counts().slowest
        display.update(answered=done, kept=kept, dropped=done - kept, waiting=len(self.open), slowest=slowest)

    def _handle(self, result: Result) -> None:
        """Ask on where it moved to, ask again later, or write down what became of the link."""
        job, answer = result.job, result.answer
        if isinstance(answer, Moved):
            self.engine.submit(job.moved(answer.target, result.seconds))
            return
        self._check_online(job, answer)
        spent = job.spent + result.seconds
        delay = self._delay(job, answer, spent)
        if delay is not None:
            self.transient[job.url] = answer
            self.engine.submit(job.again(result.seconds), delay)
            return
        before = self.transient.pop(job.url, None)
        if answer.outcome is Outcome.HOST_ASIDE and before:
            answer = before  # that is why its host was set aside
        if answer.outcome is not Outcome.HOST_ASIDE or not job.failed_before:  # else the row that it has says more
            self._finish(job, answer, spent)
        if self.settings.archive and not job.via and answer.outcome in LOST:
            self.engine.submit(archive.job(job.url, self.settings.archive))
        else:
            self.open.discard(job.url)
            self.answered.add(job.url)

    def _delay(self, job: Job, answer: Answer, spent: float) -> float | None:
        """Seconds until the link is asked again; None where it is not."""
        if answer.outcome not in AGAIN:
            return None
        return retry.delay(answer, job.attempt, self.settings, spent, retry.jitter(job.url, job.attempt))

    def _finish(self, job: Job, answer: Answer, seconds: float) -> None:
        """The bytes first, the row last: a row is the commit mark."""
        row = _row(job, answer, seconds, self.settings)
        if answer.signature:
            self.found += 1
            self.kept += 1
            self.signatures.add(row.id, answer.signature)
            for key in self.keys[job.url]:
                self.store.put(key, row.id, answer.content)  # what can't be stored, the tables will not find
        self.journal.append(row)

    def _check_online(self, job: Job, answer: Answer) -> None:
        """Raises FewposeError where no host at all can be looked up: a list is not dead because we are offline."""
        if self.unknown_hosts is None:
            return
        if answer.outcome is not Outcome.DNS_FAILED:
            self.unknown_hosts = None
            return
        self.unknown_hosts.add(urls.host(job.target))
        if len(self.unknown_hosts) >= _OFFLINE:
            raise FewposeError(
                f"none of {_OFFLINE} hosts could be looked up, such as {urls.host(job.target)}; "
                "is this machine online, without a proxy? The same command goes on when it is"
            )


def _row(job: Job, answer: Answer, seconds: float, settings: Settings) -> Row:
    return Row(
        url=job.url,
        via=job.via,
        outcome=answer.outcome,
        detail=answer.detail,
        attempts=job.attempt,
        status=answer.status,
        final_url=answer.final_url,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        robots=answer.robots,
        limit=_limit(answer.outcome, settings),
        **_facts(answer),
    )


def _limit(outcome: Outcome, settings: Settings) -> int:
    match outcome:
        case Outcome.TOO_LARGE:
            return settings.max_bytes
        case Outcome.TOO_MANY_PIXELS:
            return settings.max_pixels
        case Outcome.TOO_SMALL:
            return settings.min_side
    return 0


def _facts(answer: Answer) -> dict[str, Any]:
    """Of the picture that is kept, or was refused for its size."""
    seen = answer.signature
    if seen is None:
        return {"width": answer.width, "height": answer.height}
    return {
        "id": hashlib.sha256(answer.content).hexdigest(),
        "bytes": len(answer.content),
        "width": seen.width,
        "height": seen.height,
        "format": seen.format,
        "mode": seen.mode,
        "frames": seen.frames,
    }
