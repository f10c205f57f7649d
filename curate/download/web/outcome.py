"""What became of a link: one of these, from status codes, exception types and decoding, never from message text."""

from enum import StrEnum


class Outcome(StrEnum):
    KEPT = "kept"
    # The server said no.
    NOT_FOUND = "not found"  # 404
    GONE = "gone"  # 410
    FORBIDDEN = "forbidden"  # 401, 402, 403, 407, 451
    REFUSED = "refused"  # any other 4xx
    THROTTLED = "throttled"  # 429
    SERVER_ERROR = "server error"  # 5xx, and 408 and 425, which mean: try again
    # No server was reached, or none that can be trusted.
    NO_SUCH_HOST = "no such host"
    DNS_FAILED = "name lookup failed"  # the name may well exist
    TLS = "TLS failed"
    CONNECT_TIMEOUT = "connect timeout"
    CONNECTION_REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    BLOCKED_ADDRESS = "blocked address"  # not on the public internet
    # The answer broke.
    RESET = "connection reset"
    BAD_ANSWER = "no proper HTTP"
    STALLED = "stalled"  # no byte for read_timeout
    DEADLINE = "deadline"  # it never ended
    CUT_OFF = "cut off"  # fewer bytes than announced
    HOST_ASIDE = "host set aside"  # not asked: its host timed out again and again
    # Redirects led nowhere.
    REDIRECT_LOOP = "redirect loop"  # in a circle, or too many of them
    BAD_REDIRECT = "bad redirect"  # to nowhere, or to something that is not http or https
    # It answered with something that is not kept.
    EMPTY = "empty"
    NOT_AN_IMAGE = "not an image"
    TRUNCATED = "truncated"  # a whole answer that holds part of a picture
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too many bytes"
    TOO_MANY_PIXELS = "too many pixels"
    TOO_MUCH_WORK = "too much work"  # to decode
    TOO_SMALL = "too small"
    PLACEHOLDER = "placeholder"  # a picture that stands for one that is no more
    OPTED_OUT = "opted out"  # X-Robots-Tag: noai, noimageai
    NOT_ARCHIVED = "not archived"  # the archive has no copy
    CANNOT_STORE = "cannot be stored"  # its key is no file name here


TIMEOUTS = frozenset({Outcome.CONNECT_TIMEOUT, Outcome.STALLED, Outcome.DEADLINE})

# What may be otherwise in an hour; the next run asks these again.
TRANSIENT = TIMEOUTS | {
    Outcome.THROTTLED,
    Outcome.SERVER_ERROR,
    Outcome.DNS_FAILED,
    Outcome.CONNECTION_REFUSED,
    Outcome.UNREACHABLE,
    Outcome.RESET,
    Outcome.BAD_ANSWER,
    Outcome.CUT_OFF,
    Outcome.HOST_ASIDE,
}

# Of these, what tells that the link was asked.
FAILED = TRANSIENT - {Outcome.HOST_ASIDE}

# What may be otherwise in a second; the same run asks these again. A deadline has spent the link's time.
AGAIN = FAILED - {Outcome.DEADLINE}

# What the web has lost, and an archive may have.
LOST = frozenset(
    {
        Outcome.NOT_FOUND,
        Outcome.GONE,
        Outcome.NO_SUCH_HOST,
        Outcome.NOT_AN_IMAGE,
        Outcome.EMPTY,
        Outcome.PLACEHOLDER,
        Outcome.REDIRECT_LOOP,
        Outcome.BAD_REDIRECT,
    }
)


class Retry(StrEnum):
    """Which links that had an answer the next run asks again. What is kept is never asked again."""

    TRANSIENT = "transient"  # those that may answer otherwise by now, or whose limit was loosened
    ALL = "all"
    NONE = "none"
