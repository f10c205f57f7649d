"""What the parts of a download hand to each other."""

from dataclasses import dataclass, field, replace

from curate.download.web.outcome import Outcome
from curate.images.signatures import Signature


@dataclass(frozen=True, slots=True)
class Job:
    """One request that is to be made for a link, now or later."""

    url: str  # the link, in normal form: what the journal knows it by
    target: str  # what to ask: the link itself, where it redirected to, or an archive's copy of it
    via: str = ""  # "", or "archive"
    attempt: int = 1  # of this link in this run; redirects belong to the attempt
    hops: tuple[str, ...] = ()  # targets before this one, in this attempt
    spent: float = 0.0  # seconds that its requests took so far, all attempts
    failed_before: bool = False  # in an earlier run

    @property
    def has_failed(self) -> bool:
        """In this run, or in an earlier one."""
        return self.failed_before or self.attempt > 1

    def moved(self, target: str, seconds: float) -> "Job":
        return replace(self, target=target, hops=(*self.hops, self.target), spent=self.spent + seconds)

    def again(self, seconds: float) -> "Job":
        """The next attempt, from the start of the chain."""
        start = self.hops[0] if self.hops else self.target
        return replace(self, target=start, hops=(), attempt=self.attempt + 1, spent=self.spent + seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended. `content` and `signature` are there for KEPT alone."""

    outcome: Outcome
    detail: str = ""  # for people; the same for the same answer, so no times and no counts
    status: int = 0  # HTTP's, 0 where there was none
    final_url: str = ""
    content: bytes = field(default=b"", repr=False)
    signature: Signature | None = field(default=None, repr=False)
    retry_after: float | None = None  # seconds, where the server said
    robots: str = ""  # the X-Robots-Tag, where there was one
    width: int = 0  # of a picture that was refused for its size, pixels
    height: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect to another site: a job of its own, so that the other site's limits hold for it."""

    target: str


@dataclass(frozen=True, slots=True)
class Result:
    """What an engine gives back for a job."""

    job: Job
    answer: Answer | Moved
    seconds: float  # that its requests took
