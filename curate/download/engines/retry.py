"""When a link is asked again in the same run, and how long a site that says "later" is not asked.

Waits grow exponentially with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
links that failed together don't come back together. Where the server names a time (Retry-After, RFC 9110 10.2.3 and
RFC 6585 4), that is what holds.
"""

from random import Random

from curate.download.web.job import Answer
from curate.download.web.outcome import AGAIN, Outcome
from curate.download.web.settings import Settings

FIRST_WAIT = 1.0  # seconds; twice as long each time
LONGEST_WAIT = 30.0  # seconds
LONGEST_RETRY_AFTER = 120.0  # seconds: what asks for more is left to the next run

# These come at once and for a reason that rarely passes in seconds: one more attempt tells as much as five.
_ONCE_MORE = frozenset({Outcome.CONNECTION_REFUSED, Outcome.UNREACHABLE, Outcome.DNS_FAILED})


def delay(answer: Answer, attempt: int, settings: Settings, spent: float, random: Random) -> float | None:
    """Seconds until the next attempt of a link; None where there is none in this run.

    attempt: number of the one that got this answer, from 1.
    spent: seconds that requests for the link took so far, this attempt included.
    random: see `jitter`.
    """
    attempts = min(settings.attempts, 2) if answer.outcome in _ONCE_MORE else settings.attempts
    if answer.outcome not in AGAIN or attempt >= attempts or spent >= settings.deadline:
        return None
    if answer.retry_after is None:
        return _backoff(attempt) * random.random()
    if answer.retry_after > LONGEST_RETRY_AFTER:
        return None
    return answer.retry_after + random.random()


def pause(answer: Answer, attempt: int) -> float:
    """Seconds that the whole site is not asked after this answer; 0 where it didn't ask for a pause."""
    if answer.outcome is not Outcome.THROTTLED and answer.status != 503:
        return 0.0
    if answer.retry_after is not None:
        return min(answer.retry_after, LONGEST_RETRY_AFTER)
    return _backoff(attempt) if answer.outcome is Outcome.THROTTLED else 0.0


def jitter(url: str, attempt: int) -> Random:
    """The randomness of one attempt of one link: the same in every run, and unrelated to that of any other."""
    return Random(f"{attempt} {url}")


def _backoff(attempt: int) -> float:
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 1, 10))  # 2.0 ** 1024 is an error
