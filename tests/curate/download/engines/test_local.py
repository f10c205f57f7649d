"""The engine of one process: real threads, real time, and connections that have to be cancelled."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from curate.download.engines.local import LocalEngine
from curate.download.web.job import Answer, Job, Moved, Result
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from tests.curate.download.counting import BRIEFLY

GONE = Answer(Outcome.GONE, "HTTP 410", 410)
QUICK = Settings(connections=16, per_site=16, spacing=0.0)


class Cancellation:
    """One end of a connection; the other end is nobody's who would ever say a word."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.reasons: list[Outcome] = []

    def cancel(self, reason: Outcome) -> None:
        self.reasons.append(reason)
        self.near.shutdown(socket.SHUT_RDWR)

    def read(self) -> None:
        """Until it is cancelled."""
        with self.near, self.far:
            self.near.recv(1)


class Uncancellable:
    def cancel(self, reason: Outcome) -> None:
        pass


Fetch = Callable[[Job, Uncancellable], Answer | Moved]


def job(host: str, number: int = 0) -> Job:
    url = f"http://{host}/{number}.jpg"
    return Job(url, url)


@contextmanager
def running(fetch: Fetch, settings: Settings = QUICK) -> Iterator[LocalEngine[Uncancellable]]:
    engine = LocalEngine(fetch, Uncancellable, settings)
    try:
        yield engine
    finally:
        engine.stop()


@contextmanager
def running_and_hanging(settings: Settings) -> Iterator[tuple[LocalEngine[Cancellation], list[Cancellation]]]:
    """Every fetch hangs until it is cancelled."""
    cancellations: list[Cancellation] = []

    def make_cancellation() -> Cancellation:
        cancellations.append(Cancellation())
        return cancellations[-1]

    def fetch(_: Job, cancellation: Cancellation) -> Answer:
        cancellation.read()
        return Answer(Outcome.DEADLINE, ", ".join(cancellation.reasons))

    engine = LocalEngine(fetch, make_cancellation, settings)
    try:
        yield engine, cancellations
    finally:
        engine.stop()


def drain(engine: LocalEngine[Uncancellable], seconds: float = 20.0) -> list[Result]:
    results: list[Result] = []
    end = time.monotonic() + seconds
    while not engine.idle:
        assert time.monotonic() < end, engine.counts()
        results += engine.take(0.1)
    return results


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@dataclass
class Watched:
    """A fetch that takes a moment, and how many were at it at once, by site ("" is all)."""

    seconds: Callable[[], float]
    most: Counter[str] = field(default_factory=Counter)
    started: list[tuple[float, str]] = field(default_factory=list)
    _now: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, each: Job, _: Uncancellable) -> Answer:
        site = each.target.split("/")[2]
        with self._lock:
            self.started.append((time.monotonic(), site))
            self._now.update(["", site])
            self.most |= self._now
        time.sleep(self.seconds())
        with self._lock:
            self._now.subtract(["", site])
        return GONE


@pytest.mark.slow
def test_every_job_comes_back_once_within_the_limits() -> None:
    fetch = Watched(lambda: random.random() * 0.01)
    settings = Settings(connections=12, per_site=3, spacing=0.0)
    jobs = [job(f"host{number % 9}.org", number) for number in range(900)]
    with running(fetch, settings) as engine:
        for each in jobs:
            engine.submit(each)
        results = drain(engine)
    assert Counter(result.job for result in results) == Counter(jobs)
    assert {result.answer for result in results} == {GONE}
    assert all(0.0 < result.seconds < 5.0 for result in results)
    assert fetch.most[""] == 12
    assert {fetch.most[f"host{number}.org"] for number in range(9)} == {3}


@pytest.mark.slow
def test_requests_to_one_site_are_spaced() -> None:
    fetch = Watched(lambda: 0.0)
    with running(fetch, Settings(spacing=0.05)) as engine:
        began = time.monotonic()
        for number in range(10):
            engine.submit(job("a.org", number))
            engine.submit(job("b.org", number))
        drain(engine)
        took = time.monotonic() - began
    for site in ("a.org", "b.org"):
        starts = [at for at, name in fetch.started if name == site]
        # The thread is given the job on time, and may begin to run a little later.
        assert all((starts[number] - starts[0]) > number * 0.05 - 0.04 for number in range(10))
    assert 0.45 <= took < 10


def test_what_is_submitted_again_comes_back_again() -> None:
    def fetch(each: Job, _: Uncancellable) -> Answer | Moved:
        if "new" not in each.target:
            return Moved(each.target.replace("old", "new"))
        return GONE if each.attempt == 3 else Answer(Outcome.RESET)

    with running(fetch) as engine:
        for number in range(200):
            engine.submit(job("old.org", number))
        done: list[Job] = []
        while not engine.idle:
            for result in engine.take(0.1):
                if isinstance(result.answer, Moved):
                    engine.submit(result.job.moved(result.answer.target, result.seconds))
                elif result.answer.outcome is Outcome.RESET:
                    engine.submit(result.job.again(result.seconds), random.random() * 0.02)
                else:
                    done.append(result.job)
    assert sorted(each.url for each in done) == sorted(job("old.org", number).url for number in range(200))
    assert {each.attempt for each in done} == {3}


def test_a_delayed_job_waits_and_takes_no_thread_meanwhile() -> None:
    fetch = Watched(lambda: 0.0)
    with running(fetch) as engine:
        began = time.monotonic()
        engine.submit(job("a.org", 1), delay=5.0)  # the alarm that is set first is not the first to ring
        engine.submit(job("a.org", 2), delay=0.2)
        engine.submit(job("a.org", 3))
        assert [result.job for result in engine.take(2.0)] == [job("a.org", 3)]
        assert [result.job for result in engine.take(2.0)] == [job("a.org", 2)]
        assert 0.2 <= time.monotonic() - began < 4.0
        assert not engine.idle


def test_take_waits_no_longer_than_told() -> None:
    with running(lambda *_: GONE) as engine:
        assert engine.idle
        began = time.monotonic()
        assert engine.take(0.1) == []
        assert 0.1 <= time.monotonic() - began < 4.0


@pytest.mark.slow
def test_a_job_that_reaches_its_deadline_is_cut() -> None:
    with running_and_hanging(Settings(deadline=2.0)) as (engine, cancellations):
        engine.submit(job("a.org"))
        engine.submit(Job("http://b.org/", "http://b.org/", spent=1.7))
        (result,) = engine.take(5.0)
        assert result.job.spent == 1.7
        assert 0.3 <= result.seconds < 1.8
        (result,) = engine.take(5.0)
        assert 2.0 <= result.seconds < 6.0
        assert result.answer == Answer(Outcome.DEADLINE, "deadline")
        assert [cancellation.reasons for cancellation in cancellations] == [[Outcome.DEADLINE]] * 2


def test_stop_cuts_what_hangs_and_keeps_what_had_come() -> None:
    with running_and_hanging(Settings(connections=4, per_site=4, spacing=0.0, deadline=30.0)) as (
        engine,
        cancellations,
    ):
        engine.submit(Job("http://b.org/", "http://b.org/", spent=29.9))
        until(lambda: cancellations and cancellations[0].reasons and engine.counts().in_flight == 0)
        for number in range(9):
            engine.submit(job("a.org", number))
        until(lambda: engine.counts().in_flight == 4)
        began = time.monotonic()
        engine.stop()
        assert time.monotonic() - began < BRIEFLY
        assert [result.job.url for result in engine.take(1.0)] == ["http://b.org/"]
        assert engine.take(9.0) == []
        assert time.monotonic() - began < BRIEFLY
        assert [cancellation.reasons for cancellation in cancellations] == [[Outcome.DEADLINE]] * 5


def test_stop_ends_every_thread() -> None:
    before = threading.active_count()
    with running(Watched(lambda: 0.01), Settings(connections=4, spacing=0.05)) as engine:
        for number in range(100):
            engine.submit(job(f"host{number % 7}.org", number))
        until(lambda: len(engine.take(0.01)) > 0)
        until(lambda: threading.active_count() == before + 5)
        engine.stop()
        assert threading.active_count() == before


@pytest.mark.slow
def test_stop_lets_go_of_a_fetch_that_cannot_be_cut() -> None:
    released = threading.Event()

    def fetch(*_: object) -> Answer:
        released.wait(20.0)
        return GONE

    with running(fetch) as engine:
        engine.submit(job("a.org"))
        until(lambda: engine.counts().in_flight == 1)
        began = time.monotonic()
        engine.stop()
        assert time.monotonic() - began < BRIEFLY
        released.set()


def test_nothing_is_started_while_too_many_results_lie_there() -> None:
    fetch = Watched(lambda: 0.0)
    with running(fetch, Settings(connections=4, per_site=4, spacing=0.0)) as engine:
        for number in range(100):
            engine.submit(job("a.org", number))
        until(lambda: engine.counts().in_flight == 0 and len(fetch.started) >= 8)
        time.sleep(0.1)
        assert 8 <= len(fetch.started) <= 8 + 4
        assert len(drain(engine)) == 100


def test_nothing_is_started_while_too_many_bytes_lie_there() -> None:
    picture = bytes(20_000_000)
    settings = Settings(connections=8, per_site=8, spacing=0.0)
    with running(lambda *_: Answer(Outcome.KEPT, content=picture), settings) as engine:
        for number in range(40):
            engine.submit(job("a.org", number))
        until(lambda: engine.counts().waiting <= 36)
        time.sleep(0.1)
        assert engine.counts().waiting >= 40 - 4 - 8
        assert len(engine.take(1.0, most_bytes=1)) == 1
        assert len(engine.take(1.0, most_bytes=40_000_000)) == 2
        assert len(drain(engine)) == 37


def test_stop_wakes_threads_that_wait_for_room() -> None:
    before = threading.active_count()
    with running(lambda *_: GONE, Settings(connections=2, spacing=0.0)) as engine:
        for number in range(100):
            engine.submit(job("a.org", number))
        until(lambda: engine.counts().waiting <= 96)
        engine.stop()
        assert threading.active_count() == before


def test_a_fault_in_fetch_ends_the_run_with_its_traceback() -> None:
    def fetch(each: Job, _: Uncancellable) -> Answer:
        if each == job("a.org", 7):
            raise ZeroDivisionError("seven")
        return GONE

    with running(fetch) as engine:
        for number in range(20):
            engine.submit(job("a.org", number))
        with pytest.raises(ZeroDivisionError, match="seven") as error:
            drain(engine)
        assert any(entry.name == "fetch" for entry in error.traceback)
        with pytest.raises(ZeroDivisionError):
            engine.take(0.0)


def test_the_links_of_a_host_that_times_out_again_and_again_come_back_unasked() -> None:
    asked: Counter[str] = Counter()

    def fetch(each: Job, _: Uncancellable) -> Answer:
        host = each.target.split("/")[2]
        asked[host] += 1
        return Answer(Outcome.STALLED) if host == "dead.org" else GONE

    with running(fetch, Settings(connections=8, per_site=1, spacing=0.0)) as engine:
        for number in range(30):
            engine.submit(job("dead.org", number))
            engine.submit(job("alive.org", number))
        results = drain(engine)
    assert asked == {"dead.org": 4, "alive.org": 30}
    why = Answer(Outcome.HOST_ASIDE, "dead.org timed out, or asked to be left alone, again and again")
    aside = [result for result in results if result.answer == why]
    assert len(aside) == 26
    assert {result.seconds for result in aside} == {0.0}
    assert len(results) == 60


@pytest.mark.slow
def test_a_site_that_is_throttled_rests() -> None:
    fetch = Watched(lambda: 0.0)
    behave = iter([Answer(Outcome.THROTTLED, status=429, retry_after=0.5), GONE])
    with running(lambda *given: (fetch(*given), next(behave))[1], Settings(per_site=1, spacing=0.0)) as engine:
        engine.submit(job("a.org", 1))
        engine.submit(job("a.org", 2))
        assert len(drain(engine)) == 2
    (first, _), (second, _) = fetch.started
    assert 0.5 <= second - first < 1.5


def test_counts_say_how_it_goes_and_who_is_slow() -> None:
    with running_and_hanging(Settings(connections=2, per_site=1, spacing=0.0)) as (engine, _):
        assert engine.counts().slowest is None
        engine.submit(job("slow.org"))
        until(lambda: engine.counts().in_flight == 1)
        time.sleep(0.1)
        for number in range(3):
            engine.submit(job("other.org", number))
        engine.submit(job("slow.org", 2))
        until(lambda: engine.counts().in_flight == 2)
        counts = engine.counts()
        assert (counts.waiting, counts.in_flight, counts.aside) == (3, 2, 0)
        assert counts.slowest is not None
        host, jobs, seconds = counts.slowest
        assert (host, jobs) == ("slow.org", 2)
        assert 0.1 < seconds < 30.0


def test_threads_come_as_they_are_needed() -> None:
    before = threading.active_count()
    with running(lambda *_: GONE, Settings(connections=50)) as engine:
        assert threading.active_count() == before
        for number in range(20):
            engine.submit(job(f"host{number}.org"))
            engine.take(1.0)
        assert threading.active_count() <= before + 4


@pytest.mark.slow
def test_the_engine_costs_little_beside_a_request() -> None:
    jobs = [job(f"host{number % 500}.org", number) for number in range(10_000)]
    with running(lambda *_: GONE, Settings(spacing=0.0)) as engine:
        began = time.process_time()
        for each in jobs:
            engine.submit(each)
        assert len(drain(engine)) == len(jobs)
        assert (time.process_time() - began) / len(jobs) < 300e-6  # 25 to 40 microseconds on a quiet machine
