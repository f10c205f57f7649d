"""Pictures behind links, fetched as `curate download` fetches: with its limits, its manners, and nothing private."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from curate.download.web import fetch, urls
from curate.download.web.fetch import Fetcher
from curate.download.web.job import Job, Moved
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation

AT_ONCE = 16


def fetched(links: Iterable[str], settings: Settings | None = None) -> Iterator[tuple[str, bytes | str]]:
    """Each link with its bytes, or with the reason why there are none; in their order."""
    settings = settings or Settings(min_side=1)
    fetcher = fetch.make_fetcher(settings, decoded_at_once=AT_ONCE)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for part in _parts(links):
                yield from zip(part, pool.map(lambda link: _content(fetcher, link), part), strict=True)
    finally:
        fetcher.close()


def _content(fetcher: Fetcher, link: str) -> bytes | str:
    try:
        job = Job(urls.normal(link), urls.normal(link))
    except ValueError as error:
        return f"no link: it {error}"
    while isinstance(found := fetcher.fetch(job, Cancellation()), Moved):
        job = job.moved(found.target, 0.0)
    if found.outcome is Outcome.KEPT:
        return found.content
    return f"{found.outcome}: {found.detail}" if found.detail else str(found.outcome)


def _parts(links: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for link in links:
        part.append(link)
        if len(part) == AT_ONCE:
            yield part
            part = []
    yield part
