"""One link, one attempt: what its server answers, as an outcome.

Nothing that a server can do raises here. An answer is read only as far as it may still become a picture that is kept;
a connection with an unread rest is closed, never drained.
"""

import contextlib
import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urljoin

import requests
from urllib3 import HTTPHeaderDict
from urllib3 import exceptions as urllib3_errors

from curate.download.web import urls
from curate.download.web.addresses import Blocked, LookupFailed, NoSuchHost, Resolver
from curate.download.web.head import NotUnderstood
from curate.download.web.job import Answer, Job, Moved
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.web.transport import AUTHORITIES, Cancellation, NotConnected, Transport
from curate.images.decoding import Cause, Unreadable, sniff
from curate.images.signatures import signature_of

_CHUNK = 1 << 16  # bytes that are read, and decompressed, at once
_HEAD = 1 << 10  # bytes that tell a picture from a web page
_MOST_TEXT = 100_000  # bytes of an answer that need be no picture
_LONGEST_WAIT = 366 * 86400.0  # seconds that a server can ask for

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STATUSES = {
    206: Outcome.BAD_ANSWER,  # a part, which nobody asked for
    401: Outcome.FORBIDDEN,
    402: Outcome.FORBIDDEN,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    407: Outcome.FORBIDDEN,
    408: Outcome.SERVER_ERROR,
    410: Outcome.GONE,
    425: Outcome.SERVER_ERROR,
    429: Outcome.THROTTLED,
    451: Outcome.FORBIDDEN,
}

# What `requests` raises holds what urllib3 raised, and that what the socket did: the innermost tells most. The first
# kind that fits counts, for some are kinds of others.
_KINDS: tuple[tuple[type[BaseException], Outcome], ...] = (
    (NoSuchHost, Outcome.NO_SUCH_HOST),
    (LookupFailed, Outcome.DNS_FAILED),
    (Blocked, Outcome.BLOCKED_ADDRESS),
    (urllib3_errors.ReadTimeoutError, Outcome.STALLED),
    (TimeoutError, Outcome.STALLED),
    (urllib3_errors.DecodeError, Outcome.DAMAGED),  # said to be gzip, and is not
    (http.client.RemoteDisconnected, Outcome.RESET),
    (http.client.IncompleteRead, Outcome.CUT_OFF),
    (ssl.SSLEOFError, Outcome.RESET),
    (ssl.SSLError, Outcome.TLS),
    (ssl.CertificateError, Outcome.TLS),
    (ConnectionError, Outcome.RESET),
    (http.client.HTTPException, Outcome.BAD_ANSWER),
    (urllib3_errors.HTTPError, Outcome.BAD_ANSWER),  # such as two lengths
    (requests.RequestException, Outcome.BAD_ANSWER),
    (OSError, Outcome.RESET),
)
_ERRORS = (
    NotConnected,
    NoSuchHost,
    LookupFailed,
    Blocked,
    requests.RequestException,
    urllib3_errors.HTTPError,
    http.client.HTTPException,
    OSError,
    UnicodeError,  # such as a host name that can't be encoded
)
_NO_TIME = "no time left"

_UNREADABLE = {
    Cause.EMPTY: Outcome.EMPTY,
    Cause.TOO_MANY_BYTES: Outcome.TOO_LARGE,
    Cause.TOO_MANY_PIXELS: Outcome.TOO_MANY_PIXELS,
    Cause.TOO_MUCH_WORK: Outcome.TOO_MUCH_WORK,
    Cause.NOT_AN_IMAGE: Outcome.NOT_AN_IMAGE,
    Cause.TRUNCATED: Outcome.TRUNCATED,
    Cause.DAMAGED: Outcome.DAMAGED,
    Cause.UNSUPPORTED: Outcome.UNSUPPORTED,
    Cause.OUT_OF_MEMORY: Outcome.TOO_MANY_PIXELS,
}
_OBJECT = re.compile(r" at 0x[0-9a-f]+")  # Pillow names the object that it read from: the same file, another address

_ROBOT = "fewpose"  # what a server may call us in X-Robots-Tag
_OPT_OUT = frozenset({"noai", "noimageai"})
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


class _Refused(Exception):
    """The answer is not read any further."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class _Page(NamedTuple):
    """What a server gave with its blessing, whole."""

    content: bytes
    status: int
    url: str
    robots: str


class Fetcher:
    """Asks for links, from as many threads as one likes.

    decoded_at_once: pictures that are decoded at the same time; one of 64 megapixels is 200 MB meanwhile.
    authorities: a file of the certificates that are trusted, where it isn't the usual ones.
    """

    def __init__(
        self, settings: Settings, resolver: Resolver, *, decoded_at_once: int = 1, authorities: str = AUTHORITIES
    ) -> None:
        self._settings = settings
        self._transport = Transport(
            resolver, user_agent=settings.user_agent, per_host=settings.per_site, authorities=authorities
        )
        self._decoding = threading.BoundedSemaphore(decoded_at_once)

    def fetch(self, job: Job, cancellation: Cancellation) -> Answer | Moved:
        """What becomes of the job, redirects within its site included. Another site is Moved to.

        Raises nothing that the web can cause. Soon after it was cancelled, the answer says why it was.
        """
        found = self._follow(job, cancellation, self._picture)
        return self._judged(found) if isinstance(found, _Page) else found

    def fetch_text(self, job: Job, cancellation: Cancellation) -> bytes | Answer | Moved:
        """As `fetch`, but for the bytes of an answer that need be no picture: 100 kB at most."""
        found = self._follow(job, cancellation, _text)
        return found.content if isinstance(found, _Page) else found

    def close(self) -> None:
        """Close all connections; those in use, when they are done with."""
        self._transport.close()

    def _follow(
        self, job: Job, cancellation: Cancellation, read: Callable[[Any, Cancellation], bytes]
    ) -> _Page | Answer | Moved:
        cancellation.deadline = time.monotonic() + self._settings.deadline - job.spent
        target, visited = job.target, list(job.hops)
        while True:
            if target in visited:
                return Answer(Outcome.REDIRECT_LOOP, "in a circle", final_url=target)
            if len(visited) > self._settings.max_redirects:
                return Answer(Outcome.REDIRECT_LOOP, f"more than {self._settings.max_redirects}", final_url=target)
            visited.append(target)
            found = self._ask(target, cancellation, read)
            if not isinstance(found, Moved) or _site(found.target) != _site(target):
                return found
            target = found.target

    def _ask(
        self, url: str, cancellation: Cancellation, read: Callable[[Any, Cancellation], bytes]
    ) -> _Page | Answer | Moved:
        """One request."""
        status, headers = 0, HTTPHeaderDict()
        try:
            with self._response(url, cancellation) as response:
                status, headers = response.status_code, response.raw.headers
                if status in _REDIRECTS:
                    return Moved(_location(url, status, headers))
                _check(status)
                content = read(response.raw, cancellation)
                return _Page(content, status, url, _robots(headers))
        except _Refused as refused:
            outcome, detail = refused.outcome, refused.detail
        except _ERRORS as error:
            outcome, detail = _why(error)
            # The timeouts were what was left of the time, and what is cancelled breaks in many ways.
            if not cancellation.seconds_left:
                outcome, detail = cancellation.reason or Outcome.DEADLINE, _NO_TIME
        finally:
            cancellation.release()
        return Answer(outcome, detail, status, url, retry_after=_retry_after(headers), robots=_robots(headers))

    def _response(self, url: str, cancellation: Cancellation) -> requests.Response:
        settings = self._settings
        return self._transport.get(
            url, cancellation, connect_timeout=settings.connect_timeout, read_timeout=settings.read_timeout
        )

    def _picture(self, raw: Any, cancellation: Cancellation) -> bytes:
        """The whole body, where its head is a picture's. Raises _Refused."""
        if not self._settings.ignore_noai and _opted_out(raw.headers):
            raise _Refused(Outcome.OPTED_OUT, f"X-Robots-Tag: {_robots(raw.headers)}")
        return _read(raw, cancellation, self._settings.max_bytes, _check_head)

    def _judged(self, page: _Page) -> Answer:
        """Whether what was read is a picture to be kept."""
        answer = partial(Answer, status=page.status, final_url=page.url, robots=page.robots)
        try:
            with self._decoding:
                seen = signature_of(page.content, self._settings.limits)
        except Unreadable as problem:
            return answer(_UNREADABLE[problem.cause], _OBJECT.sub("", problem.detail))
        least = self._settings.min_side
        if min(seen.width, seen.height) < least:
            detail = f"{seen.width} x {seen.height} pixels; the least is {least}"
            return answer(Outcome.TOO_SMALL, detail, width=seen.width, height=seen.height)
        return answer(Outcome.KEPT, content=page.content, signature=seen)


def make_fetcher(settings: Settings, decoded_at_once: int) -> Fetcher:
    """With a resolver of its own. decoded_at_once: see Fetcher."""
    resolver = Resolver(allow_private=settings.allow_private, timeout=settings.connect_timeout)
    return Fetcher(settings, resolver, decoded_at_once=decoded_at_once)


def _site(url: str) -> str:
    return urls.site(urls.host(url))


# Status and headers


def _check(status: int) -> None:
    """Raises _Refused for what has no body that anybody would want."""
    if status in _STATUSES:
        outcome = _STATUSES[status]
    elif 400 <= status < 500:
        outcome = Outcome.REFUSED
    elif 500 <= status < 600:
        outcome = Outcome.SERVER_ERROR
    elif 300 <= status < 400:
        outcome = Outcome.BAD_REDIRECT
    elif 200 <= status < 300:
        return
    else:
        outcome = Outcome.BAD_ANSWER
    raise _Refused(outcome, f"HTTP {status}")


def _location(url: str, status: int, headers: HTTPHeaderDict) -> str:
    """Where a redirect leads, in normal form. Raises _Refused."""
    location = headers.get("Location", "").strip()
    if not location:
        raise _Refused(Outcome.BAD_REDIRECT, f"HTTP {status} without a Location")
    with contextlib.suppress(UnicodeError):  # http.client reads Latin-1, most servers write UTF-8
        location = location.encode("latin-1").decode("utf-8")
    try:
        return urls.normal(urljoin(url, location))
    except ValueError as error:
        raise _Refused(Outcome.BAD_REDIRECT, f"to {location[:200]!r}, which {error}") from error


def _retry_after(headers: HTTPHeaderDict) -> float | None:
    """Seconds. A date counts from the server's clock, where it tells the time."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        now = time.time()
    return min(max(0.0, then - now), _LONGEST_WAIT)


def _robots(headers: HTTPHeaderDict) -> str:
    return "".join(c for c in ", ".join(headers.getlist("X-Robots-Tag")) if c.isprintable())[:200]


def _opted_out(headers: HTTPHeaderDict) -> bool:
    """Whether X-Robots-Tag asks us, or everybody, not to train on this: "noai", or "fewpose: noai"."""
    for value in headers.getlist("X-Robots-Tag"):
        robot = ""
        for directive in value.lower().split(","):
            name, colon, rest = directive.strip().partition(":")
            if colon and name.strip() not in _WITH_VALUE:  # the name of a robot: for it alone, to the end of the header
                robot, name = name.strip(), rest
            if name.strip() in _OPT_OUT and robot in ("", "*", _ROBOT):
                return True
    return False


# The body


def _text(raw: Any, cancellation: Cancellation) -> bytes:
    return _read(raw, cancellation, _MOST_TEXT, lambda head: None)


def _read(raw: Any, cancellation: Cancellation, most: int, check_head: Callable[[bytearray], None]) -> bytes:
    """The whole body, gzip undone. Raises _Refused for more than `most` bytes, and where it is cancelled."""
    announced = raw.length_remaining
    if announced is not None and announced > most:
        raise _Refused(Outcome.TOO_LARGE, f"more than {most:,} bytes")
    content = bytearray()
    checked = False
    while part := raw.read1(_CHUNK, decode_content=True):
        content += part
        if len(content) > most:
            raise _Refused(Outcome.TOO_LARGE, f"more than {most:,} bytes")
        if not checked and len(content) >= _HEAD:
            check_head(content[:_HEAD])
            checked = True
        if not cancellation.seconds_left:
            break
    if not cancellation.seconds_left:  # a connection that was shut looks like the end of a body
        raise _Refused(cancellation.reason or Outcome.DEADLINE, _NO_TIME)
    if not content and announced is None and not raw.chunked:  # an end, but nobody said that it is the whole
        raise _Refused(Outcome.CUT_OFF, "no body, and no length")
    if content and not checked:
        check_head(content)
    return bytes(content)


def _check_head(head: bytearray) -> None:
    """Raises _Refused for what is not the beginning of a picture."""
    start = bytes(head)
    if sniff(start):
        return
    lower = start.lower()
    if b"<html" in lower or lower.lstrip().startswith(b"<!doctype html"):
        raise _Refused(Outcome.NOT_AN_IMAGE, "HTML page")
    raise _Refused(Outcome.NOT_AN_IMAGE, f"no picture; it starts with {start[:24]!r}")


# Failures


def _why(error: BaseException) -> tuple[Outcome, str]:
    """The outcome, and what the innermost error is called."""
    for inner in reversed(list(_chain(error))):
        if isinstance(inner, NotConnected):
            return inner.outcome, inner.detail
        for kind, outcome in _KINDS:
            if isinstance(inner, kind):
                return outcome, _name(inner)
    return Outcome.BAD_ANSWER, _name(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it holds."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            yield from _chain(inner)


def _name(error: BaseException) -> str:
    if isinstance(error, NoSuchHost | LookupFailed | Blocked | NotUnderstood):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or error.reason or type(error).__name__
    return type(error).__name__
