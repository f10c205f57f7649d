"""What a person sees of a download: how it goes on, and at its end what became of the links."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from curate.foundation import console
from curate.foundation.text import command_line

if TYPE_CHECKING:
    from curate.download.results.progress import Progress

_PER_SECOND = 5  # times that the terminal is drawn, and the rate is measured
_RECENT = 10.0  # seconds that the rate is taken over
_QUIET = 30.0  # seconds without a line, away from a terminal
_HOST = 40  # characters of a host's name
_NAMED = 15  # classes at the end

Slowest = tuple[str, int, float]  # host, links left, seconds until they are done


class Display:
    """A bar on a terminal; elsewhere a plain line for every tenth, and at least one in half a minute.

    A context manager. `update` costs next to nothing, and should be called at least once a second.
    """

    def __init__(self, what: str, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """what: "downloading".  total: links that are to be answered."""
        self._what = what
        self._total = total
        self._clock = clock
        self._answered = self._kept = self._dropped = self._waiting = 0
        self._slowest: Slowest | None = None
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])  # time, answered by then
        self._said = (clock(), 0)  # the last plain line: time, tenths done
        self._live: Live | None = None
        if console.err.is_terminal:
            self._live = Live(console=console.err, get_renderable=self._drawn, refresh_per_second=_PER_SECOND)

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, *, answered: int, kept: int, dropped: int, waiting: int, slowest: Slowest | None = None) -> None:
        """All in links, since the beginning.

        waiting: being asked now, or waiting to be asked, for the first time or again.
        slowest: the host that will take longest: its name, how many links are left to it, and seconds for them.
        """
        self._answered, self._kept, self._dropped, self._waiting = answered, kept, dropped, waiting
        self._slowest = slowest
        now = self._clock()
        if now - self._recent[-1][0] >= 1 / _PER_SECOND:
            self._recent.append((now, answered))
            while now - self._recent[1][0] > _RECENT:
                self._recent.popleft()
        if not self._live:
            self._say(now)

    def _say(self, now: float) -> None:
        since, tenths = self._said
        done = self._answered * 10 // max(self._total, 1)
        if done > tenths or now - since >= _QUIET:
            self._said = (now, done)
            console.note(self._line())

    def _line(self) -> str:
        slowest = f", slowest {self._slowest[0]} ({self._slowest[1]:,} left)" if self._slowest else ""
        return (
            f"{self._what}: {self._answered:,}/{self._total:,}, {self._rate():,.0f}/s, kept {self._kept:,}, "
            f"dropped {self._dropped:,}{slowest}"
        )

    def _drawn(self) -> RenderableType:
        """Lines that are cut where the terminal is too narrow: one that is broken would be left behind."""
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(no_wrap=True, overflow="ellipsis")
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True, overflow="ellipsis")
        bar.add_row(
            Text(self._what),
            ProgressBar(total=max(self._total, 1), completed=self._answered),
            f"{self._answered:,}/{self._total:,}  {self._left()}",
        )
        return Group(bar, *(Text(line, no_wrap=True, overflow="ellipsis") for line in self._details()))

    def _details(self) -> Iterator[str]:
        yield f"{self._rate():,.0f}/s  kept {self._kept:,}  dropped {self._dropped:,}  waiting {self._waiting:,}"
        if self._slowest:
            host, left, seconds = self._slowest
            name = host if len(host) <= _HOST else f"{host[: _HOST - 1]}…"
            yield f"slowest: {name}, {left:,} left, {seconds:,.0f} s"

    def _rate(self) -> float:
        """Links a second, of late."""
        since, before = self._recent[0]
        seconds = self._clock() - since
        return (self._answered - before) / seconds if seconds else 0.0

    def _left(self) -> str:
        """Time left at this rate, h:mm:ss."""
        rate = self._rate()
        if not rate:
            return "-:--:--"
        minutes, seconds = divmod(round((self._total - self._answered) / rate), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def summary(progress: "Progress", warn_below: int, root: Path) -> None:
    """Print what became of the links: causes, totals, and the classes that kept fewer than `warn_below`.

    root: the collection.
    """
    totals(progress)
    causes(progress)
    few = progress.below(warn_below)
    if few:
        console.say(f"{console.count(len(few), 'class', 'classes')} kept fewer than {warn_below} images:")
        rows = ((one.label, one.kept, one.links, f"below {warn_below}") for one in few[:_NAMED])
        console.table(("class", "kept", "of links", ""), rows, numbers=(1, 2))
    if len(few) > _NAMED:
        console.say(f"and {len(few) - _NAMED} more; {command_line('curate', 'status', root)} lists them")


def totals(progress: "Progress") -> None:
    """Print how many links are listed, kept, dropped and waiting."""
    console.say(
        f"links: {progress.links:,} listed, {progress.kept:,} kept, {progress.dropped:,} dropped, "
        f"{progress.waiting:,} waiting"
    )


def causes(progress: "Progress") -> None:
    """Print why links were dropped."""
    console.table(
        ("dropped because", "links", "such as"),
        ((cause.cause, f"{cause.count:,}", cause.first[0]) for cause in progress.causes),
    )
