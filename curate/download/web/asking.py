"""What a worker does with a job, in whatever process it runs: without pandas, or anything else that is large."""

from collections.abc import Callable
from functools import partial

from curate.download.web import archive
from curate.download.web.addresses import Resolver
from curate.download.web.fetch import Fetcher
from curate.download.web.job import Answer, Job, Moved
from curate.download.web.settings import Settings
from curate.download.web.transport import Line


def fetcher(settings: Settings, looks: int) -> Fetcher:
    """looks: pictures that are looked at at once."""
    resolver = Resolver(allow_private=settings.allow_private, timeout=settings.connect_timeout)
    return Fetcher(settings, resolver, looks=looks)


def asking(settings: Settings, looks: int = 1) -> tuple[Callable[[Job, Line], Answer | Moved], Callable[[], Line]]:
    """What a LocalEngine is given: how a job is fetched, and the line that it is fetched on."""
    return partial(archive.fetch, fetcher(settings, looks)), Line
