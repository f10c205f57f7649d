"""What a worker does with a job, in whatever process it runs: without pandas, or anything else that is large."""

from collections.abc import Callable
from functools import partial

from curate.download import archive
from curate.download.addresses import Resolver
from curate.download.fetch import Fetcher
from curate.download.job import Answer, Job, Moved
from curate.download.settings import Settings
from curate.download.transport import Line


def fetcher(settings: Settings, looks: int) -> Fetcher:
    """looks: pictures that are looked at at once."""
    resolver = Resolver(allow_private=settings.allow_private, timeout=settings.connect_timeout)
    return Fetcher(settings, resolver, looks=looks)


def asking(settings: Settings, looks: int = 1) -> tuple[Callable[[Job, Line], Answer | Moved], Callable[[], Line]]:
    """What a LocalEngine is given: how a job is fetched, and the line that it is fetched on."""
    return partial(archive.fetch, fetcher(settings, looks)), Line
