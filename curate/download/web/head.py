"""The head of an answer, read to its end, as browsers read it.

http.client has heads parsed as those of mail: the first line that is no field counts as the end of the head, and what
stands below it (an X-Robots-Tag, a Location, a length) is lost without a word. Here such a line is passed over and the
next ones are read. Fields that say where the body ends, or what to ask next, must be understood, or the answer is none.
What comes out is a head that http.client reads as it is meant.
"""

import http.client
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO

MOST_BYTES = 1 << 18  # of all lines before a body, those of interim answers included: as in Chromium

_EMPTY = (b"\r\n", b"\n")
# 101 is no interim answer: what follows it is another protocol, which nobody asked for.
_INTERIM = re.compile(rb"HTTP/\S+\s+1(?!01)\d\d\s")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SPACE = b" \t"
_AS_SPACES = bytes.maketrans(b"\r\n\0", b"   ")  # what else may stand for them in a value: RFC 9110, 5.5

_Field = tuple[bytes, bytes]  # name and value


class NotUnderstood(http.client.HTTPException):
    """The head contradicts itself, or says of its body what we can't follow."""


def read(stream: IO[bytes]) -> bytes:
    """The final answer's head: the status line, each field on a line of its own, an empty line. Nothing if none came.

    Interim answers, such as 103, are left out. Of what is no HTTP it is the first line.
    Raises http.client.IncompleteRead where the head is cut off, LineTooLong above MOST_BYTES, and NotUnderstood.
    """
    left = MOST_BYTES
    while (lines := _lines(stream, left)) and _INTERIM.match(lines[0]):
        left -= sum(map(len, lines))
    if not lines or lines[-1] not in _EMPTY:
        return b"".join(lines)
    fields = _settled(_fields(lines[1:-1]))
    return b"".join([lines[0], *(b"%b: %b\r\n" % field for field in fields), b"\r\n"])


def _lines(stream: IO[bytes], left: int) -> list[bytes]:
    """A status line and all others up to the empty one; the first one alone, where that begins no HTTP."""
    lines: list[bytes] = []
    while not lines or (lines[0].startswith(b"HTTP/") and lines[-1] not in _EMPTY):
        line = stream.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise http.client.LineTooLong("head")
        if not line and lines:
            raise http.client.IncompleteRead(b"".join(lines))
        if not line:
            break
        lines.append(line)
    return lines


def _fields(lines: Iterable[bytes]) -> list[_Field]:
    """What the lines say. One that is no field is passed over, with those that continue it."""
    fields: list[tuple[bytes, list[bytes]]] = []
    continued = False  # whether a line that begins with a space belongs to the field before
    for line in lines:
        text = line.translate(_AS_SPACES)
        if not text.startswith((b" ", b"\t")):
            name, colon, value = text.partition(b":")
            name = name.rstrip(_SPACE)
            continued = bool(colon and _NAME.fullmatch(name))
            if continued:
                fields.append((name, [value.strip(_SPACE)]))
        elif continued:
            fields[-1][1].append(text.strip(_SPACE))
    return [(name, b" ".join(parts)) for name, parts in fields]


# What must be understood


def _settled(fields: list[_Field]) -> Iterator[_Field]:
    """The fields, of which those in _SETTLING say one thing once, or nothing. Raises NotUnderstood."""
    said: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name.lower() in _SETTLING:
            said.setdefault(name.lower(), []).append(value)
        else:
            yield name, value
    for name, values in said.items():
        if value := _SETTLING[name](values):
            yield name, value


def _length(values: list[bytes]) -> bytes:
    """One that is no number is none: the body then ends with the connection, and is judged whole or not by itself."""
    value = _only("Content-Length", _listed(values))
    return value if value.isdigit() else b""


def _coding(values: list[bytes]) -> bytes:
    """Only "chunked" is ever to be expected: we have asked for no other."""
    codings = {coding.lower() for coding in _listed(values)} - {b"", b"identity"}
    if codings - {b"chunked"}:
        raise NotUnderstood(f"the Transfer-Encoding is {b', '.join(sorted(codings)).decode('latin-1')[:100]!r}")
    return b"chunked" if codings else b""


def _location(values: list[bytes]) -> bytes:
    return _only("Location", values)


def _listed(values: list[bytes]) -> list[bytes]:
    return [part.strip(_SPACE) for value in values for part in value.split(b",")]


def _only(name: str, values: list[bytes]) -> bytes:
    if len(set(values)) > 1:
        raise NotUnderstood(f"there is more than one {name}")
    return values[0]


_SETTLING: dict[bytes, Callable[[list[bytes]], bytes]] = {
    b"content-length": _length,
    b"transfer-encoding": _coding,
    b"location": _location,
}
