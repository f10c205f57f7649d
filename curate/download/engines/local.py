"""Runs jobs on threads of this process: each takes the next job that may start, fetches it, and queues the result.

There is no dispatcher. A thread that finds nothing to do waits to be woken; one of them, at most, waits with a timeout,
until a job may start just because time has passed. What has not been taken yet is bounded, as it holds
pictures: while there is too much of it, no job is started.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from curate.download.engines import retry
from curate.download.engines.schedule import Schedule
from curate.download.web import urls
from curate.download.web.job import Answer, Job, Moved, Result
from curate.download.web.outcome import TIMEOUTS, Outcome
from curate.download.web.settings import Settings

_UNTAKEN_BYTES = 64_000_000  # of pictures: no job is started while more than that lies here
_SECONDS_BETWEEN_CHECKS = 0.05  # for jobs that have reached their deadline
_SECONDS_TO_STOP = 0.5  # that threads are given to close their connections


class Cancellation(Protocol):
    """Ends what a job waits for, from another thread: see `transport.Cancellation`."""

    def cancel(self, reason: Outcome) -> None: ...


_C = TypeVar("_C", bound=Cancellation)


@dataclass(frozen=True)
class Counts:
    """How the download goes, for the display."""

    waiting: int  # jobs
    in_flight: int  # jobs
    aside: int  # hosts
    slowest: tuple[str, int, float] | None  # host of the oldest request in flight, its jobs, seconds of that request


@dataclass(slots=True, eq=False)
class _Flight(Generic[_C]):
    job: Job
    cancellation: _C
    started: float
    cancelled: bool = False  # at its deadline


class LocalEngine(Generic[_C]):
    """`submit` jobs, `take` results until it is `idle`, then `stop`; from any thread."""

    def __init__(
        self, fetch: Callable[[Job, _C], Answer | Moved], make_cancellation: Callable[[], _C], settings: Settings
    ) -> None:
        """fetch: called in up to settings.connections threads at once; an exception that it raises is raised by `take`.
        make_cancellation: makes what cancels one call of `fetch`, which must return soon after it was cancelled.
        """
        self._fetch = fetch
        self._make_cancellation = make_cancellation
        self._settings = settings
        self._schedule = Schedule(
            connections=settings.connections, per_site=settings.per_site, spacing=settings.spacing
        )
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # a job may start, or there is room for its result
        self._results_came = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._resting = 0  # threads that wait for work
        self._alarm = float("inf")  # when the thread that waits with one wakes up
        self._flights: set[_Flight[_C]] = set()
        self._results: deque[Result] = deque()
        self._untaken_bytes = 0
        self._error: BaseException | None = None
        self._stopped = threading.Event()

    def submit(self, job: Job, delay: float = 0.0) -> None:
        """delay: seconds before it may start."""
        with self._lock:
            now = time.monotonic()
            self._schedule.add(job, now, delay)
            self._collect_abandoned()
            self._wake_or_start_thread(now)

    def take(self, timeout: float, most_bytes: float = float("inf")) -> list[Result]:
        """The results that are there, or the first to come; none after `timeout` seconds.

        most_bytes: of pictures; what is more is for the next call (but one picture always comes).
        After `stop`, what had come before. Raises what `fetch` raised.
        """
        with self._lock:
            self._results_came.wait_for(lambda: self._results or self._error or self._stopped.is_set(), timeout)
            if self._error:
                raise self._error
            taken: list[Result] = []
            size = 0
            while self._results and (not taken or size + _size(self._results[0]) <= most_bytes):
                taken.append(self._results.popleft())
                size += _size(taken[-1])
            self._untaken_bytes -= size
            if taken:
                self._wake_or_start_thread(time.monotonic())
            return taken

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is in flight, every result was taken."""
        with self._lock:
            return not len(self._schedule) and not self._results

    def counts(self) -> Counts:
        with self._lock:
            oldest = min(self._flights, key=lambda flight: flight.started, default=None)
            slowest = None
            if oldest:
                host = urls.host(oldest.job.target)
                slowest = (host, self._schedule.at_host(host), time.monotonic() - oldest.started)
            schedule = self._schedule
            return Counts(schedule.waiting, schedule.in_flight, schedule.aside, slowest)

    def stop(self) -> None:
        """Cancel every fetch and end the threads. What was in flight is lost; results that came before can be taken."""
        with self._lock:
            self._stopped.set()
            self._work.notify_all()
            self._results_came.notify_all()
            flights = list(self._flights)
        for flight in flights:
            flight.cancellation.cancel(Outcome.DEADLINE)  # whatever the answer, it is not kept
        end = time.monotonic() + _SECONDS_TO_STOP
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _wake_or_start_thread(self, now: float) -> None:
        """See to it that a thread takes the job that may start now, or waits for the moment when one may."""
        if self._full:
            return
        wait = self._schedule.wait(now)
        self._collect_abandoned()
        if wait is None or now + wait >= self._alarm:
            return
        if self._resting:
            self._work.notify()
        elif len(self._threads) <= self._settings.connections:
            self._start_thread()

    def _start_thread(self) -> None:
        if not self._threads:
            self._threads.append(threading.Thread(target=self._guarded, args=(self._watch,), daemon=True))
            self._threads[0].start()
        thread = threading.Thread(target=self._guarded, args=(self._run,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  (whatever it is, a thread that ends in silence would leave `take` waiting)
            with self._lock:
                self._error = error
                self._results_came.notify_all()

    def _run(self) -> None:
        while flight := self._next():
            self._finish(flight, self._fetch(flight.job, flight.cancellation))

    def _next(self) -> _Flight[_C] | None:
        """Wait for the next job and start it; None after `stop`."""
        with self._lock:
            while not self._stopped.is_set():
                now = time.monotonic()
                job = None if self._full else self._schedule.next(now)
                if job:
                    flight = _Flight(job, self._make_cancellation(), now)
                    self._flights.add(flight)
                    self._wake_or_start_thread(now)
                    return flight
                self._rest(now)
        return None

    def _rest(self, now: float) -> None:
        """Wait until there is work, or until a job may start if no other thread waits for such a moment."""
        wait = None if self._full else self._schedule.wait(now)
        self._collect_abandoned()
        alarm = float("inf") if wait is None else now + wait
        first = alarm < self._alarm
        if first:
            self._alarm = alarm
        self._resting += 1
        self._work.wait(wait if first else None)
        self._resting -= 1
        if first and self._alarm == alarm:
            self._alarm = float("inf")

    def _finish(self, flight: _Flight[_C], answer: Answer | Moved) -> None:
        outcome, pause = None, 0.0
        if isinstance(answer, Answer):
            outcome, pause = answer.outcome, retry.pause(answer, flight.job.attempt)
        timed_out, deadline = outcome in TIMEOUTS, outcome is Outcome.DEADLINE
        with self._lock:
            now = time.monotonic()
            self._flights.remove(flight)
            if self._stopped.is_set():  # it was cancelled, and the answer says nothing of the link or of its host
                return
            self._schedule.finished(flight.job, now, timed_out=timed_out, deadline=deadline, pause=pause)
            self._put(Result(flight.job, answer, now - flight.started))
            self._collect_abandoned()

    def _collect_abandoned(self) -> None:
        for job in self._schedule.abandoned():
            detail = f"{urls.host(job.target)} timed out, or asked to be left alone, again and again"
            self._put(Result(job, Answer(Outcome.HOST_ASIDE, detail), 0.0))

    def _put(self, result: Result) -> None:
        self._results.append(result)
        self._untaken_bytes += _size(result)
        self._results_came.notify()

    @property
    def _full(self) -> bool:
        return len(self._results) >= 2 * self._settings.connections or self._untaken_bytes >= _UNTAKEN_BYTES

    def _watch(self) -> None:
        """Cancel what has reached its deadline."""
        while not self._stopped.wait(_SECONDS_BETWEEN_CHECKS):
            now, deadline = time.monotonic(), self._settings.deadline
            with self._lock:
                late = [each for each in self._flights if now - each.started >= deadline - each.job.spent]
            for flight in late:
                if not flight.cancelled:
                    flight.cancelled = True
                    flight.cancellation.cancel(Outcome.DEADLINE)


def _size(result: Result) -> int:
    return len(result.answer.content) if isinstance(result.answer, Answer) else 0
