"""Whole downloads played through on a simulated clock: limits, turns, hosts that are set aside, always an end."""

import heapq
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.download.engines import retry
from curate.download.engines.schedule import LONGEST_REST, MOST_TIMEOUTS_IN_A_ROW, TIMEOUTS_IN_A_ROW, Schedule
from curate.download.results import pending
from curate.download.results.journal import Row
from curate.download.web.job import Answer, Job
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings

DEFAULT = Settings()
ANSWER, TIMEOUT = (1.0, False, 0.0), (10.0, True, 0.0)
End = tuple[float, bool, float]  # seconds that it took, timed out, pause


def job(host: str, number: int = 0) -> Job:
    url = f"http://{host}/{number}.jpg"
    return Job(url, url)


def jobs(host: str, n: int) -> list[Job]:
    return [job(host, number) for number in range(n)]


def host_of(each: Job) -> str:
    return each.target.split("/")[2]


def site_of(host: str) -> str:
    return host.lstrip("0123456789")


@dataclass
class Simulation:
    """What happens when the jobs of a schedule are started as soon as it lets them, and end as `behave` says."""

    schedule: Schedule
    behave: Callable[[Job], End]
    deadlines: bool = False  # timeouts are those of whole jobs
    retries: bool = False  # what times out is asked again, as in a download
    now: float = 1000.0
    started: list[tuple[float, Job]] = field(default_factory=list)
    done: list[Job] = field(default_factory=list)
    abandoned: list[Job] = field(default_factory=list)
    together: Counter[str] = field(default_factory=Counter)  # site: most requests at once; "" is all of them

    def add(self, some: Iterable[Job], delay: float = 0.0) -> None:
        for each in some:
            self.schedule.add(each, self.now, delay)

    def run(self) -> float:
        """Until nothing is left. Returns the seconds that it took."""
        begun = self.now
        flying: list[tuple[float, int, Job, End]] = []
        at_once: Counter[str] = Counter()
        numbers = count()
        while True:
            while each := self.schedule.next(self.now):
                end = self.behave(each)
                heapq.heappush(flying, (self.now + end[0], next(numbers), each, end))
                self.started.append((self.now, each))
                at_once.update(["", site_of(host_of(each))])
                self.together |= at_once
            self.abandoned += self.schedule.abandoned()
            wait = self.schedule.wait(self.now)
            assert wait is None or wait > 0
            times = [flying[0][0]] if flying else []
            times += [] if wait is None else [max(self.now + wait, math.nextafter(self.now, math.inf))]
            if not times:
                assert len(self.schedule) == 0
                return self.now - begun
            self.now = min(times)
            while flying and flying[0][0] <= self.now:
                _, _, each, (seconds, timed_out, pause) = heapq.heappop(flying)
                deadline = timed_out and (self.deadlines or seconds >= DEFAULT.deadline)
                self.schedule.finished(each, self.now, timed_out=timed_out, deadline=deadline, pause=pause)
                at_once.subtract(["", site_of(host_of(each))])
                self.done.append(each)
                if self.retries and timed_out and not deadline:
                    self._retry(each, seconds)

    def _retry(self, each: Job, seconds: float) -> None:
        answer, random = Answer(Outcome.STALLED), retry.jitter(each.url, each.attempt)
        delay = retry.delay(answer, each.attempt, DEFAULT, each.spent + seconds, random)
        if delay is not None:
            self.add([each.again(seconds)], delay)

    def starts(self, site: str) -> list[float]:
        return [at for at, each in self.started if site_of(host_of(each)) == site]


def simulation(
    behave: Callable[[Job], End] = lambda _: ANSWER, connections: int = 64, per_site: int = 4, spacing: float = 0.0
) -> Simulation:
    return Simulation(
        Schedule(
            connections=connections, per_site=per_site, spacing=spacing, host=lambda t: t.split("/")[2], site=site_of
        ),
        behave,
    )


# Any web: hosts of a few sites, each answer slow or quick, a timeout or not, with a pause or not.
ends = st.tuples(st.floats(0.0, 20.0), st.booleans(), st.sampled_from([0.0, 0.0, 0.0, 1.0, 90.0]))
lists = st.lists(
    st.tuples(st.sampled_from(["a", "1a", "2a", "b", "1b", "c", "d"]), ends, st.sampled_from([0.0, 0.0, 2.5]))
)
limits = st.tuples(st.integers(1, 6), st.integers(1, 4), st.sampled_from([0.0, 0.1, 3.0]))


@pytest.mark.slow
@given(lists, limits, st.booleans())
def test_whatever_the_web_does_limits_hold_and_every_job_comes_out_once(
    links: list[tuple[str, End, float]], limit: tuple[int, int, float], deadlines: bool
) -> None:
    connections, per_site, spacing = limit
    todo = {job(host, number): end for number, (host, end, _) in enumerate(links)}
    web = simulation(todo.__getitem__, connections, per_site, spacing)
    web.deadlines = deadlines
    for each, (_, _, delay) in zip(todo, links, strict=True):
        web.add([each], delay)
    assert web.schedule.waiting == len(web.schedule) == len(todo)
    web.run()
    assert Counter(web.done + web.abandoned) == Counter(list(todo))
    assert web.schedule.waiting == web.schedule.in_flight == 0
    assert web.together[""] <= connections
    for site in "abcd":
        assert web.together[site] <= per_site
        starts = web.starts(site)
        assert all(later >= earlier + spacing for earlier, later in pairwise(starts))


@pytest.mark.slow
@given(lists, limits)
def test_the_time_is_that_of_the_connections_plus_that_of_one_site(
    links: list[tuple[str, End, float]], limit: tuple[int, int, float]
) -> None:
    # While a job of the last site to end waits, either all connections are busy, or that site's own limits hold it.
    connections, per_site, spacing = limit
    todo = {job(host, number): (end[0], False, 0.0) for number, (host, end, _) in enumerate(links)}
    web = simulation(todo.__getitem__, connections, per_site, spacing)
    web.add(todo)
    took = web.run()
    seconds: dict[str, list[float]] = defaultdict(list)
    for each, end in todo.items():
        seconds[site_of(host_of(each))].append(end[0])
    alone = [sum(each) / per_site + (len(each) - 1) * spacing + max(each) for each in seconds.values()]
    assert took <= sum(map(sum, seconds.values())) / connections + max(alone, default=0.0) + 1e-6


@pytest.mark.slow
def test_a_long_tail_of_sites_takes_hardly_longer_than_the_limits_demand() -> None:
    sizes = [round(2000 / rank) for rank in range(1, 400)]
    lower_bound = max(sum(sizes) / 64, sizes[0] / 4)
    web = simulation()
    some = [job(f"site{rank}.org", number) for rank, size in enumerate(sizes) for number in range(size)]
    random.Random(0).shuffle(some)
    web.add(some)
    assert web.run() <= 1.02 * lower_bound


def test_the_site_with_most_jobs_goes_first_and_of_equals_the_one_that_came_first() -> None:
    web = simulation(connections=1, per_site=1)
    web.add([*jobs("small", 1), *jobs("large", 3), *jobs("middle", 2), *jobs("last", 1)])
    web.run()
    assert [host_of(each) for _, each in web.started] == [
        "large", "large", "middle", "small", "large", "middle", "last",
    ]  # fmt: skip


def test_shards_share_the_limits_of_their_site_and_take_turns() -> None:
    web = simulation(per_site=2, spacing=0.5)
    web.add([*jobs("1shop", 4), *jobs("2shop", 4)])
    web.run()
    assert web.together["shop"] == 2
    assert [host_of(each)[0] for _, each in web.started] == list("12121212")


def test_by_default_sites_are_made_of_real_host_names() -> None:
    schedule = Schedule(connections=9, per_site=1, spacing=0.0)
    for host in ("thumb1.shutterstock.com", "thumb9.shutterstock.com", "www.yoga.org", "127.0.5.1:80", "127.0.6.1:80"):
        schedule.add(job(host), 0.0)
    started = [host_of(each) for each in iter(lambda: schedule.next(0.0), None)]
    assert started == ["thumb1.shutterstock.com", "www.yoga.org", "127.0.5.1:80", "127.0.6.1:80"]


def test_a_delayed_job_starts_when_it_is_due() -> None:
    web = simulation()
    web.add(jobs("a", 1), delay=7.0)
    assert web.schedule.next(web.now) is None
    assert web.schedule.wait(web.now) == 7.0
    assert web.run() == 8.0


def test_a_pause_stops_the_whole_site_and_no_other() -> None:
    throttled = job("1a", 0)
    web = simulation(lambda each: (1.0, False, 30.0) if each == throttled else ANSWER, per_site=1)
    web.add([throttled, job("2a", 1), job("b", 1)])
    web.run()
    assert [(at, host_of(each)) for at, each in web.started] == [(1000.0, "1a"), (1000.0, "b"), (1031.0, "2a")]


def test_a_dead_host_costs_three_timeouts_and_one_more_at_the_end() -> None:
    web = simulation(lambda each: TIMEOUT if host_of(each) == "dead" else ANSWER, per_site=1)
    web.add([*jobs("dead", 50), *jobs("alive", 100)])
    web.run()
    asked = [at for at, each in web.started if host_of(each) == "dead"]
    assert len(asked) == TIMEOUTS_IN_A_ROW + 1
    assert asked[-1] == 1099.0  # when of the other nothing waited any more
    assert len(web.abandoned) == 50 - len(asked)
    assert web.schedule.aside == 0


def test_a_host_that_hangs_is_asked_one_at_a_time_after_its_first_timeout() -> None:
    web = simulation(lambda each: (10.0 + int(each.target[-5]), True, 0.0) if host_of(each) == "a" else ANSWER)
    web.add([*jobs("a", 9), *jobs("b", 200)])
    web.run()
    assert [at for at, each in web.started if host_of(each) == "a"][:5] == [1000.0] * 4 + [1049.0]
    assert web.together["a"] == 4


def test_after_an_answer_a_host_is_asked_as_before() -> None:
    web = simulation(lambda each: TIMEOUT if each == job("a", 0) else (1.0 + 3 * (web.now < 1007.0), False, 0.0))
    web.add(jobs("a", 40))
    web.run()
    assert max(Counter(at for at in web.starts("a") if at > 1012.0).values()) == 4


def test_a_host_whose_links_reach_their_deadline_takes_one_deadline() -> None:
    web = simulation(lambda each: TIMEOUT if host_of(each) == "endless" else ANSWER)
    web.deadlines = True
    web.add([*jobs("endless", 50), *jobs("b", 20)])
    assert web.run() == 10.0
    assert (len(web.done), len(web.abandoned)) == (24, 46)


def test_a_host_is_tried_again_while_other_requests_hang() -> None:
    web = simulation(lambda each: (100.0, False, 0.0) if host_of(each) == "slow" else TIMEOUT)
    web.add([*jobs("slow", 1), *jobs("dead", 9)])
    assert web.run() == 100.0
    assert [at for at, each in web.started if host_of(each) == "dead"] == [1000.0] * 4 + [1010.0] * 4


def test_hosts_that_are_aside_are_tried_side_by_side() -> None:
    web = simulation(lambda _: TIMEOUT, per_site=1)
    web.add([each for number in range(20) for each in jobs(f"dead{number}", 9)])
    assert web.run() == 40.0


def test_a_host_that_answers_at_last_is_as_any_other() -> None:
    web = simulation(lambda each: TIMEOUT if web.now < 1030.0 else ANSWER, per_site=1)
    web.add(jobs("slow", 50))
    web.run()
    assert (len(web.done), web.abandoned) == (50, [])


def test_an_answer_in_between_keeps_a_host_from_being_set_aside() -> None:
    web = simulation(lambda each: ANSWER if each.target.endswith("2.jpg") else TIMEOUT, per_site=1)
    web.add([job("a", number) for number in (0, 1, 2, 3, 4, 12, 5, 6, 22, 7)])
    web.run()
    assert (len(web.done), web.abandoned) == (10, [])


def test_a_late_answer_of_a_request_in_flight_releases_its_host() -> None:
    behaviour = {job("a", number): TIMEOUT for number in range(3)} | {job("a", 3): (12.0, False, 0.0)}
    web = simulation(lambda each: behaviour.get(each, ANSWER))
    web.add(jobs("a", 5))
    web.add(jobs("b", 100))
    web.run()
    assert next(at for at, each in web.started if each == job("a", 4)) == 1012.0


def test_a_host_that_is_set_aside_twice_is_given_up_at_once() -> None:
    behaviour = iter([TIMEOUT] * 3 + [ANSWER] + [TIMEOUT] * 3)
    web = simulation(lambda each: ANSWER if host_of(each) == "b" else next(behaviour), per_site=1)
    web.add(failed_before(jobs("a", 20)))
    web.run()
    assert (len(web.done), len(web.abandoned)) == (7, 13)


# Hosts that answer, some of whose links hang


def failed_before(some: Iterable[Job]) -> list[Job]:
    return [replace(each, failed_before=True) for each in some]


def test_a_host_that_has_answered_is_asked_less_after_a_timeout_and_not_given_up() -> None:
    hanging = jobs("a", 20)
    web = simulation(lambda each: TIMEOUT if each in hanging else ANSWER)
    web.deadlines = True
    web.add([job("a", 100), *hanging, job("a", 101)])
    web.run()
    assert (len(web.done), web.abandoned) == (22, [])
    at_once = Counter(at for at, each in web.started if each in hanging[5:])
    assert set(at_once.values()) <= {1, 2}
    assert max(at for at, _ in web.started) <= 1000.0 + 10 * 10.0  # two at a time


def test_a_host_that_answered_and_fell_silent_costs_a_bounded_number_of_timeouts() -> None:
    web = simulation(lambda each: ANSWER if web.now < 1005.0 else TIMEOUT)
    web.add(jobs("a", 10_000))
    took = web.run()
    timeouts = sum(at >= 1005.0 for at, _ in web.started)
    assert MOST_TIMEOUTS_IN_A_ROW <= timeouts <= MOST_TIMEOUTS_IN_A_ROW + 6
    assert took <= 5.0 + 10.0 * (MOST_TIMEOUTS_IN_A_ROW / 2 + 2)


def test_what_has_failed_already_is_no_reason_to_be_patient() -> None:
    web = simulation(lambda each: ANSWER if each.target.endswith("/0.jpg") else TIMEOUT, per_site=1)
    web.add([job("a", 0), *failed_before(job("a", number) for number in range(1, 40))])
    web.run()
    assert (len(web.done), len(web.abandoned)) == (1 + TIMEOUTS_IN_A_ROW + 1, 35)


def test_of_a_host_what_has_failed_comes_last() -> None:
    web = simulation(connections=1, per_site=1)
    again = job("a", 1).again(1.0)
    web.add([*failed_before([job("a", 0)]), again, job("a", 2), job("a", 3)])
    web.run()
    assert [each.target[-5] for _, each in web.started] == list("2301")


def test_sites_whose_links_failed_in_an_earlier_run_come_after_others_and_the_largest_of_them_first() -> None:
    web = simulation(connections=1, per_site=1)
    web.add([*failed_before(jobs("few", 1)), *failed_before(jobs("many", 3)), *jobs("one", 1), *jobs("two", 2)])
    web.run()
    assert [host_of(each) for _, each in web.started] == ["two", "one", "two", "many", "many", "few", "many"]


DRIPS, HANGS = (60.0, True, 0.0), (15.0, True, 0.0)


def mixed_hosts(chance: random.Random) -> dict[str, End]:
    """How each link ends: 20 hosts of which up to half of the links hang or drip, 20 that are dead, 20 that are not."""
    ends: dict[str, End] = {}
    for number in range(60):
        bad = (chance.uniform(0.1, 0.5), 1.0, 0.0)[number % 3]
        for _ in range(40):
            end = chance.choice([DRIPS, HANGS]) if chance.random() < bad else (chance.uniform(0.1, 1.0), False, 0.0)
            name = {DRIPS: "drip", HANGS: "hang"}.get(end, "good")
            ends[f"http://h{number}/{name}/{len(ends)}.jpg"] = end
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_good_link_is_lost_over_two_runs(seed: int) -> None:
    ends = mixed_hosts(random.Random(seed))
    rows: dict[tuple[str, str], Row] = {}
    for _ in range(2):
        missing = [Job(url, url) for url in ends if rows.get((url, "")) != Row(url, Outcome.KEPT)]
        web = simulation(lambda each: ends[each.url], spacing=DEFAULT.spacing)
        web.retries = True
        web.add(pending.in_turn(missing, rows, run=len(rows)))
        took = web.run()
        for each in web.abandoned:
            rows.setdefault((each.url, ""), Row(each.url, Outcome.HOST_ASIDE))
        for each in web.done:
            rows[each.url, ""] = Row(each.url, Outcome.STALLED if ends[each.url][1] else Outcome.KEPT)
        assert took < 900.0
    lost = [url for url, end in ends.items() if not end[1] and rows[url, ""].outcome is not Outcome.KEPT]
    assert lost == []


def test_what_is_asked_of_a_host_that_was_given_up_is_given_up_at_once() -> None:
    web = simulation(lambda _: TIMEOUT, per_site=1)
    web.add(jobs("a", 5))
    web.run()
    assert len(web.abandoned) == 1
    web.add([job("a", 77)])
    web.add([job("a", 78)], delay=3.0)
    assert web.run() == 3.0
    assert web.abandoned[1:] == [job("a", 77), job("a", 78)]


def test_a_dead_shard_does_not_take_its_site_with_it() -> None:
    web = simulation(lambda each: TIMEOUT if host_of(each) == "1a" else ANSWER)
    web.add([*jobs("1a", 30), *jobs("2a", 30)])
    web.run()
    assert {host_of(each) for each in web.abandoned} == {"1a"}
    assert sum(host_of(each) == "2a" for each in web.done) == 30


def test_a_host_that_says_nothing_but_later_is_given_up_in_the_end() -> None:
    web = simulation(lambda _: (0.5, False, 60.0))
    web.add(jobs("a", 500))
    assert web.run() < LONGEST_REST + 120.0
    assert len(web.done) + len(web.abandoned) == 500


def test_answers_that_come_together_and_say_later_are_one_rest() -> None:
    web = simulation(lambda _: (0.5, False, 100.0) if web.now < 1010.0 else ANSWER, per_site=4)
    web.add(jobs("a", 50))
    web.run()
    assert (len(web.done), web.abandoned) == (50, [])


def test_a_host_that_says_later_now_and_then_is_never_given_up() -> None:
    web = simulation(lambda each: (0.5, False, 60.0 if each.target.endswith("0.jpg") else 0.0), per_site=1)
    web.add(jobs("a", 200))
    web.run()
    assert (len(web.done), web.abandoned) == (200, [])


def test_what_waits_at_a_host_is_counted() -> None:
    schedule = Schedule(connections=1, per_site=1, spacing=0.0)
    for each in [*jobs("a.org", 3), *jobs("b.org", 1)]:
        schedule.add(each, 0.0)
    schedule.next(0.0)
    assert (schedule.at_host("a.org"), schedule.at_host("b.org"), schedule.at_host("c.org")) == (3, 1, 0)
    assert (schedule.waiting, schedule.in_flight, len(schedule)) == (3, 1, 4)


@pytest.mark.slow
@pytest.mark.parametrize("sites", [1, 3390])
def test_a_hundred_thousand_jobs_take_seconds(sites: int) -> None:
    schedule = Schedule(connections=64, per_site=64, spacing=0.0)
    some = [job(f"host{number % sites}.org", number) for number in range(100_000)]
    begun = time.process_time()
    for each in some:
        schedule.add(each, 0.0)
    for _ in some:
        given = schedule.next(0.0)
        assert given is not None
        schedule.finished(given, 0.0, timed_out=False)
    assert len(schedule) == 0
    seconds = time.process_time() - begun
    assert seconds < 60.0  # 1.5 on a quiet machine; hours if any call looked at every job
