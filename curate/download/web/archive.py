"""Copies of what the web has lost, from an archive with the Wayback Machine's availability API.

GET ENDPOINT?url=LINK answers {"archived_snapshots": {"closest": {"available": true, "url": ".../web/TIME/LINK"}}}, or
names no snapshot (https://archive.org/help/wayback_api.php). An endpoint may bring a query of its own, such as
?timestamp=20180101: the copy nearest to that day.
"""

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from curate.download.web import urls
from curate.download.web.fetch import Fetcher, make_fetcher
from curate.download.web.job import Answer, Job, Moved
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation
from curate.foundation import json_files

VIA = "archive"


def job(url: str, endpoint: str) -> Job:
    """What to ask first for a lost link."""
    return Job(url, f"{endpoint}{'&' if '?' in endpoint else '?'}url={quote(url, safe='')}", VIA)


def fetch(fetcher: Fetcher, job: Job, cancellation: Cancellation) -> Answer | Moved:
    """As `fetcher.fetch`; but an archive's answer to where a copy is becomes Moved, or NOT_ARCHIVED."""
    is_question = job.via == VIA and not job.hops
    return _ask(fetcher, job, cancellation) if is_question else fetcher.fetch(job, cancellation)


def make_fetch(
    settings: Settings, decoded_at_once: int = 1
) -> tuple[Callable[[Job, Cancellation], Answer | Moved], Callable[[], Cancellation]]:
    """What a LocalEngine is given: the function that fetches a job, and the class whose instances cancel one.

    Called in the process that fetches. Nothing large, such as pandas, is imported for it.
    decoded_at_once: see Fetcher.
    """
    return partial(fetch, make_fetcher(settings, decoded_at_once)), Cancellation


def _ask(fetcher: Fetcher, job: Job, cancellation: Cancellation) -> Answer | Moved:
    found = fetcher.fetch_text(job, cancellation)
    if not isinstance(found, bytes):
        return found
    copy = _copy(found)
    if copy is None:
        return Answer(Outcome.NOT_ARCHIVED, "the archive has no copy", 200, job.target)
    try:
        return Moved(urls.normal(copy))
    except ValueError as problem:
        return Answer(Outcome.BAD_REDIRECT, f"the archive's copy {problem}", 200, job.target)


def _copy(answer: bytes) -> str | None:
    try:
        closest = json_files.parse(answer)["archived_snapshots"]["closest"]
        if not closest["available"]:
            return None
        # "id_" asks for the bytes as they came, without the archive's frame around them.
        return re.sub(r"/web/(\d{4,14})/", r"/web/\1id_/", str(closest["url"]), count=1)
    except (ValueError, KeyError, TypeError):
        return None
