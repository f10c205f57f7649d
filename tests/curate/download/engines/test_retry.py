"""Which answers are worth another attempt, and when."""

from random import Random

import pytest

from curate.download.engines import retry
from curate.download.web.job import Answer
from curate.download.web.outcome import AGAIN, Outcome
from curate.download.web.settings import Settings

SETTINGS = Settings(attempts=9, deadline=60.0)


def delay(answer: Answer, attempt: int = 1, settings: Settings = SETTINGS, spent: float = 0.0) -> float | None:
    return retry.delay(answer, attempt, settings, spent, retry.jitter("http://yoga.org/1.jpg", attempt))


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - AGAIN))
def test_what_will_be_the_same_in_a_second_is_not_asked_again(outcome: Outcome) -> None:
    assert delay(Answer(outcome, retry_after=1.0)) is None


@pytest.mark.parametrize("outcome", sorted(AGAIN))
def test_what_may_be_otherwise_in_a_second_is_asked_again(outcome: Outcome) -> None:
    assert delay(Answer(outcome)) is not None


def test_attempts_are_counted_from_one() -> None:
    stalled, settings = Answer(Outcome.STALLED), Settings(attempts=3)
    assert [delay(stalled, attempt, settings) is not None for attempt in (1, 2, 3, 4)] == [True, True, False, False]
    assert delay(stalled, 1, Settings(attempts=1)) is None


@pytest.mark.parametrize("outcome", [Outcome.CONNECTION_REFUSED, Outcome.UNREACHABLE, Outcome.DNS_FAILED])
def test_a_host_that_is_not_there_is_asked_once_more(outcome: Outcome) -> None:
    assert delay(Answer(outcome), 1) is not None
    assert delay(Answer(outcome), 2) is None
    assert delay(Answer(outcome), 1, Settings(attempts=1)) is None


def test_a_link_that_has_spent_its_time_is_not_asked_again() -> None:
    assert delay(Answer(Outcome.RESET), spent=59.9) is not None
    assert delay(Answer(Outcome.RESET), spent=60.0) is None


def test_the_wait_is_spread_evenly_up_to_twice_the_one_before_and_half_a_minute() -> None:
    settings = Settings(attempts=10_000)
    for attempt, most in [(1, 1.0), (2, 2.0), (3, 4.0), (5, 16.0), (6, 30.0), (5000, 30.0)]:
        waits = [retry.delay(Answer(Outcome.RESET), attempt, settings, 0.0, Random(seed)) or 0.0 for seed in range(500)]
        assert 0.0 <= min(waits) < 0.02 * most
        assert 0.98 * most < max(waits) <= most
        assert sum(waits) / len(waits) == pytest.approx(most / 2, rel=0.1)


def test_the_server_names_the_wait() -> None:
    for seconds in (0.0, 7.0, 120.0):
        wait = delay(Answer(Outcome.THROTTLED, status=429, retry_after=seconds), 5)
        assert wait is not None
        assert seconds <= wait < seconds + 1.0


def test_a_server_that_wants_more_than_two_minutes_is_left_to_the_next_run() -> None:
    assert delay(Answer(Outcome.SERVER_ERROR, status=503, retry_after=120.5)) is None


def test_jitter_is_the_same_in_every_run_and_differs_between_links_and_attempts() -> None:
    links = [("http://a/1", 1), ("http://a/1", 2), ("http://a/11", 1), ("http://a/11", 2)]
    draws = {link: retry.jitter(*link).random() for link in links}
    assert len(set(draws.values())) == 4
    assert draws["http://a/1", 1] == retry.jitter("http://a/1", 1).random() == pytest.approx(0.0029237283012085724)


@pytest.mark.parametrize(
    ("answer", "attempt", "seconds"),
    [
        (Answer(Outcome.THROTTLED, status=429, retry_after=7.0), 1, 7.0),
        (Answer(Outcome.THROTTLED, status=429, retry_after=9000.0), 1, 120.0),
        (Answer(Outcome.THROTTLED, status=429), 1, 1.0),
        (Answer(Outcome.THROTTLED, status=429), 3, 4.0),
        (Answer(Outcome.THROTTLED, status=429), 3000, 30.0),
        (Answer(Outcome.SERVER_ERROR, status=503, retry_after=7.0), 1, 7.0),
        (Answer(Outcome.SERVER_ERROR, status=503), 1, 0.0),
        (Answer(Outcome.SERVER_ERROR, status=500, retry_after=7.0), 1, 0.0),
        (Answer(Outcome.NOT_FOUND, status=404, retry_after=7.0), 1, 0.0),
        (Answer(Outcome.KEPT, status=200), 1, 0.0),
    ],
)
def test_a_site_that_says_later_rests_as_a_whole(answer: Answer, attempt: int, seconds: float) -> None:
    assert retry.pause(answer, attempt) == seconds
