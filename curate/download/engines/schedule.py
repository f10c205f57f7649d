"""Which request may start when: at most so many at once, at most so many to one site, none too soon after another.

Nothing here waits or looks at a clock: `now` (seconds, monotonic) is handed in, so that whole downloads can be played
through in a test within milliseconds. A call costs O(log sites).

Jobs wait with their host, and the hosts of a site (its shards) take turns. Of a host, what has not failed yet goes
first. Of the sites that may be asked now, the one with most jobs waiting goes first: a site that is asked one link at a
time must not be what is left at the end. Jobs that failed in an earlier run count only between sites that are equal
without them, so that a short run is not spent on the sites that the last one was spent on.

After a timeout a host is asked one link at a time, until it answers. When it has timed out TIMEOUTS_IN_A_ROW times
without an answer in between it is set aside, so that it keeps no connection from the others. When nothing else waits,
as many of its jobs are tried as may be at once: an answer releases the others, no answer gives them up, and so does
being set aside a second time. Where it was the job's deadline that passed, there is no such trial: it would take as
long as all that came before.

Of a host that has answered in this run, some links hang and others don't. After a timeout it is asked half as much at
once, and as long as it has jobs that have not failed yet it is set aside only after MOST_TIMEOUTS_IN_A_ROW. That makes
the loss of a good link unlikely, and bounds what a host costs that answered and then fell silent.

A host that for LONGEST_REST seconds on end says nothing but "later" (Retry-After) is given up, too. What is asked of a
host that was given up, redirects and further attempts included, is given up at once: this run is not the time to ask
it.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain, count

from curate.download.web import urls
from curate.download.web.job import Job

TIMEOUTS_IN_A_ROW = 3
MOST_TIMEOUTS_IN_A_ROW = 30  # of a host that has answered: where half of its links hang, once in a billion
LONGEST_REST = 300.0  # seconds

_MOST_OUT_OF_DATE = 64  # entries of a heap beyond two a site, before it is swept


class _State(Enum):
    OPEN = auto()
    ASIDE = auto()
    PROBED = auto()  # set aside, and one of its jobs is being tried
    GIVEN_UP = auto()


class _Queue:
    """Jobs of one host, the first to come first; but those that have failed, in this run or in an earlier one, last."""

    __slots__ = ("_failed", "_fresh")

    def __init__(self) -> None:
        self._fresh: deque[Job] = deque()
        self._failed: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._failed)

    def __iter__(self) -> Iterator[Job]:
        return chain(self._fresh, self._failed)

    @property
    def has_fresh(self) -> bool:
        """Whether there is one that has not failed."""
        return bool(self._fresh)

    def append(self, job: Job) -> None:
        (self._failed if job.has_failed else self._fresh).append(job)

    def popleft(self) -> Job:
        return (self._fresh or self._failed).popleft()


@dataclass(slots=True, eq=False)
class _Site:
    order: int  # of arrival
    hosts: list["_Host"] = field(default_factory=list)  # those with jobs that may start, in order of their turns
    waiting: int = 0  # jobs that may start, of all its hosts
    failed_before: int = 0  # of them, in an earlier run
    in_flight: int = 0
    opens: float = float("-inf")  # when the next request may start
    version: int = 0  # of its place in the heaps: an entry with another number is out of date

    def count(self, job: Job, by: int) -> None:
        """A job may start now (1), or was started or taken away (-1)."""
        self.waiting += by
        self.failed_before += by * job.failed_before

    @property
    def urgency(self) -> tuple[int, int]:
        """The smallest goes first."""
        return self.failed_before - self.waiting, -self.waiting


@dataclass(slots=True, eq=False)
class _Host:
    site: _Site
    state: _State = _State.OPEN
    waiting: _Queue = field(default_factory=_Queue)  # may start
    held: _Queue = field(default_factory=_Queue)  # stay back while it is aside
    in_flight: int = 0
    answered: bool = False  # at least once
    timeouts: int = 0  # since the last answer
    rested: float = 0.0  # seconds, since the last answer that was more than "later"
    was_aside: bool = False

    def at_once(self, per_site: int) -> int:
        """How many of its jobs may be in flight: after a timeout fewer, for all of them may hang."""
        if not self.timeouts or self.state is _State.PROBED:
            return per_site
        return max(1, per_site // 2) if self.answered else 1

    @property
    def patience(self) -> int:
        """Timeouts in a row after which it is set aside."""
        return MOST_TIMEOUTS_IN_A_ROW if self.answered and self.waiting.has_fresh else TIMEOUTS_IN_A_ROW


# (most urgent first, order, version, site); the last is never compared
_Entry = tuple[tuple[float, ...], int, int, _Site]


class Schedule:
    """Jobs go in by `add`, come out by `next` (then `finished` must be called) or by `abandoned`. Not for threads."""

    def __init__(
        self,
        *,
        connections: int,
        per_site: int,
        spacing: float,
        host: Callable[[str], str] = urls.host,
        site: Callable[[str], str] = urls.site,
    ) -> None:
        """connections: requests at once, over all sites.
        per_site: requests at once to one site.
        spacing: seconds between the starts of two requests to one site.
        host: from a job's target to the name of its host.
        site: from the name of a host to that of its site.
        """
        self._connections = connections
        self._per_site = per_site
        self._spacing = spacing
        self._host_of = host
        self._site_of = site
        self._sites: dict[str, _Site] = {}
        self._hosts: dict[str, _Host] = {}
        self._now: list[_Entry] = []  # heap: sites that may be asked now, most jobs first
        self._later: list[_Entry] = []  # heap: sites that may be asked after a while, soonest first
        self._delayed: list[tuple[float, int, Job]] = []  # heap: jobs that are due after a while
        self._delays = count()
        self._aside: dict[_Host, None] = {}  # set aside or probed, in order
        self._abandoned: list[Job] = []
        self._held = 0  # jobs of hosts that are set aside
        self._startable = 0  # jobs that wait at hosts which may be asked
        self._in_flight = 0

    def __len__(self) -> int:
        return self.waiting + self._in_flight

    @property
    def waiting(self) -> int:
        """Jobs that were not started: those that are delayed or held back with their host, too."""
        return self._startable + self._held + len(self._delayed)

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def aside(self) -> int:
        """Hosts that are set aside, and not given up."""
        return len(self._aside)

    def at_host(self, name: str) -> int:
        """Jobs of a host that wait or are in flight, without those that are delayed."""
        host = self._hosts.get(name)
        return len(host.waiting) + len(host.held) + host.in_flight if host else 0

    def add(self, job: Job, now: float, delay: float = 0.0) -> None:
        """delay: seconds before it may start."""
        if delay > 0:
            heapq.heappush(self._delayed, (now + delay, next(self._delays), job))
        else:
            self._enter(job, now)

    def next(self, now: float) -> Job | None:
        """A job to be started now, or None. `finished` must be called for it."""
        self._advance(now)
        site = self._first(self._now)
        if site is None or self._in_flight >= self._connections:
            return None
        host = next(filter(self._may_start, site.hosts))
        site.hosts.remove(host)
        job = host.waiting.popleft()
        if host.waiting:
            site.hosts.append(host)
        site.count(job, -1)
        self._startable -= 1
        host.in_flight += 1
        site.in_flight += 1
        self._in_flight += 1
        site.opens = now + self._spacing
        self._place(site, now)
        return job

    def wait(self, now: float) -> float | None:
        """Seconds until `next` has a job if nothing else happens. None: not before an `add` or a `finished`."""
        self._advance(now)
        if self._in_flight >= self._connections:
            return None
        if self._first(self._now):
            return 0.0
        soonest = self._first(self._later)
        times = [soonest.opens] if soonest else []
        times += [self._delayed[0][0]] if self._delayed else []
        return min(times) - now if times else None

    def finished(self, job: Job, now: float, *, timed_out: bool, deadline: bool = False, pause: float = 0.0) -> None:
        """A job that `next` gave has ended, with an answer or with a timeout.

        deadline: the timeout was that of the whole job.
        pause: seconds that nothing may be asked of its site; more than 0 means that the answer was "later".
        """
        host = self._host(job)
        site = host.site
        host.in_flight -= 1
        site.in_flight -= 1
        self._in_flight -= 1
        host.timeouts = host.timeouts + 1 if timed_out else 0
        host.answered = host.answered or not timed_out
        if pause > 0:
            host.rested += max(0.0, now + pause - max(now, site.opens))
            site.opens = max(site.opens, now + pause)
        elif not timed_out:
            host.rested = 0.0
        self._judge(host, now, timed_out, deadline)
        self._place(site, now)

    def abandoned(self) -> list[Job]:
        """The jobs that were given up with their host since the last call. Any other call may have done so."""
        given_up, self._abandoned = self._abandoned, []
        return given_up

    def _judge(self, host: _Host, now: float, timed_out: bool, deadline: bool) -> None:
        tried = host.state is _State.PROBED and not (host.waiting or host.in_flight)
        if host.rested > LONGEST_REST or (tried and timed_out):
            self._give_up(host)
        elif host.state is _State.OPEN and host.timeouts >= host.patience:
            if host.was_aside or deadline:
                self._give_up(host)
            else:
                self._set_aside(host)
        elif host in self._aside and not timed_out:
            self._release(host, now)

    def _set_aside(self, host: _Host) -> None:
        host.state = _State.ASIDE
        host.was_aside = True
        host.held = self._withdraw(host)
        self._held += len(host.held)
        self._aside[host] = None

    def _release(self, host: _Host, now: float) -> None:
        host.state = _State.OPEN
        del self._aside[host]
        for job in self._held_back(host):
            self._enqueue(host, job, now)

    def _give_up(self, host: _Host) -> None:
        host.state = _State.GIVEN_UP
        self._aside.pop(host, None)
        self._abandoned += self._withdraw(host)
        self._abandoned += self._held_back(host)

    def _probe(self, now: float) -> None:
        for host in self._aside:
            if host.held and host.state is _State.ASIDE and not host.in_flight:
                host.state = _State.PROBED
                for _ in range(min(self._per_site, len(host.held))):
                    self._held -= 1
                    self._enqueue(host, host.held.popleft(), now)

    def _advance(self, now: float) -> None:
        """Do what the time that has passed brings with it."""
        while self._delayed and self._delayed[0][0] <= now:
            self._enter(heapq.heappop(self._delayed)[2], now)
        while (site := self._first(self._later)) and site.opens <= now:
            self._place(site, now)
        if self._held and not (self._startable or self._delayed):
            self._probe(now)

    def _host(self, job: Job) -> _Host:
        name = self._host_of(job.target)
        host = self._hosts.get(name)
        if host is None:
            shared = self._site_of(name)
            site = self._sites.setdefault(shared, _Site(len(self._sites)))
            host = self._hosts[name] = _Host(site)
        return host

    def _enter(self, job: Job, now: float) -> None:
        host = self._host(job)
        if host.state is _State.OPEN:
            self._enqueue(host, job, now)
        elif host.state is _State.GIVEN_UP:
            self._abandoned.append(job)
        else:
            host.held.append(job)
            self._held += 1

    def _enqueue(self, host: _Host, job: Job, now: float) -> None:
        if not host.waiting:
            host.site.hosts.append(host)
        host.waiting.append(job)
        host.site.count(job, 1)
        self._startable += 1
        self._place(host.site, now)

    def _withdraw(self, host: _Host) -> _Queue:
        """Take a host's jobs out of its site's queue."""
        jobs, host.waiting = host.waiting, _Queue()
        if jobs:
            host.site.hosts.remove(host)
        for job in jobs:
            host.site.count(job, -1)
        self._startable -= len(jobs)
        return jobs

    def _held_back(self, host: _Host) -> _Queue:
        """Take the jobs that a host held while it was aside."""
        jobs, host.held = host.held, _Queue()
        self._held -= len(jobs)
        return jobs

    def _place(self, site: _Site, now: float) -> None:
        """Put a site where it belongs: among those that may be asked now, later, or not before a request has ended."""
        site.version += 1
        if site.in_flight >= self._per_site or not any(map(self._may_start, site.hosts)):
            return
        if site.opens > now:
            self._push(self._later, ((site.opens,), site.order, site.version, site))
        else:
            self._push(self._now, (site.urgency, site.order, site.version, site))

    def _may_start(self, host: _Host) -> bool:
        return host.in_flight < host.at_once(self._per_site)

    def _push(self, heap: list[_Entry], entry: _Entry) -> None:
        heapq.heappush(heap, entry)
        if len(heap) > 2 * len(self._sites) + _MOST_OUT_OF_DATE:
            heap[:] = [each for each in heap if each[2] == each[3].version]
            heapq.heapify(heap)

    @staticmethod
    def _first(heap: list[_Entry]) -> _Site | None:
        while heap:
            _, _, version, site = heap[0]
            if version == site.version:
                return site
            heapq.heappop(heap)
        return None
