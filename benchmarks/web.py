"""A small web that misbehaves: one process, every address of 127.0.0.0/8 a host, every path prefix a behaviour.

    python -m benchmarks.web --port-file ports.json      # ends when its input does

http://127.0.7.1:PORT/404/12.jpg is picture 12 of a host that says 404; BEHAVIOURS says what to make of each. Pictures
are a function of their number, no two are alike, and making one costs less than sending it. GET /_counts tells as JSON
what was asked of whom, how often and how much at once; GET /_reset forgets it.
"""

import argparse
import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from curate.download.web.outcome import Outcome

SIZE = (200, 150)  # of the good pictures, pixels
RETRY_AFTER = 1  # seconds, said with 429 and 503

_DRIP = 0.1  # seconds between the bytes of what never ends
_JFIF = 20  # bytes that a JPEG begins with: some programs take it for none where anything else stands there
_STRIPS = 64  # how many strips there are for each row of blocks of a picture
_BOMB = 200_000_000  # bytes that the gzip bomb would become


@dataclass(frozen=True)
class Behaviour:
    """What one link of the kind comes to."""

    first: Outcome | None  # after one attempt; None: it leads to another site
    last: Outcome  # after a run of 3 attempts, each with time enough
    requests: int = 1  # to the server, in such a run, at most
    content: str = "good"  # whose bytes are kept, where they are


def _kept(content: str = "good", requests: int = 1) -> Behaviour:
    return Behaviour(Outcome.KEPT, Outcome.KEPT, requests, content)


def _final(outcome: Outcome, requests: int = 1) -> Behaviour:
    return Behaviour(outcome, outcome, requests)


def _again(outcome: Outcome) -> Behaviour:
    return Behaviour(outcome, outcome, 3)


def _then_good(outcome: Outcome) -> Behaviour:
    return Behaviour(outcome, Outcome.KEPT, 2)


BEHAVIOURS = {
    "good": _kept(),
    "octet-stream": _kept(),
    "as-html": _kept(),
    "chunked": _kept(),
    "until-close": _kept(),
    "gzip": _kept(),
    "deflate": _kept(),
    "noai-others": _kept(),
    "redirect": _kept(requests=2),
    "redirect-relative": _kept(requests=2),
    "redirect-5": _kept(requests=6),
    "redirect-endless": _kept(requests=2),
    "redirect-elsewhere": Behaviour(None, Outcome.KEPT, 1),
    "png": _kept("png"),
    "gif": _kept("gif"),
    "gif-animated": _kept("gif-animated"),
    "webp": _kept("webp"),
    "bmp": _kept("bmp"),
    "tiff": _kept("tiff"),
    "cmyk": _kept("cmyk"),
    "avif": _kept("avif") if features.check("avif") else _final(Outcome.UNSUPPORTED),
    "side-64": _kept("side-64"),
    "429-then-good": _then_good(Outcome.THROTTLED),
    "429-date": _then_good(Outcome.THROTTLED),
    "503-then-good": _then_good(Outcome.SERVER_ERROR),
    "500-then-good": _then_good(Outcome.SERVER_ERROR),
    "reset-then-good": _then_good(Outcome.RESET),
    "stall-then-good": _then_good(Outcome.STALLED),
    "429": _again(Outcome.THROTTLED),
    "500": _again(Outcome.SERVER_ERROR),
    "408": _again(Outcome.SERVER_ERROR),
    "400": _final(Outcome.REFUSED),
    "401": _final(Outcome.FORBIDDEN),
    "403": _final(Outcome.FORBIDDEN),
    "404": _final(Outcome.NOT_FOUND),
    "404-with-picture": _final(Outcome.NOT_FOUND),
    "410": _final(Outcome.GONE),
    "451": _final(Outcome.FORBIDDEN),
    "304": _final(Outcome.BAD_REDIRECT),
    "204": _final(Outcome.EMPTY),
    "206": _again(Outcome.BAD_ANSWER),
    "999": _again(Outcome.BAD_ANSWER),
    "reset": _again(Outcome.RESET),
    "reset-in-body": _again(Outcome.RESET),
    "close": _again(Outcome.RESET),
    "close-in-headers": _again(Outcome.CUT_OFF),
    "garbage": _again(Outcome.BAD_ANSWER),
    "two-lengths": _again(Outcome.BAD_ANSWER),
    "stall": _again(Outcome.STALLED),
    "stall-in-headers": _again(Outcome.STALLED),
    "stall-in-body": _again(Outcome.STALLED),
    "drip-headers": _final(Outcome.DEADLINE),
    "drip-body": _final(Outcome.DEADLINE),
    "drip-chunk-size": _final(Outcome.DEADLINE),
    "endless-body": _final(Outcome.TOO_LARGE),
    "endless-html": _final(Outcome.NOT_AN_IMAGE),
    "endless-headers": _again(Outcome.BAD_ANSWER),
    "endless-header-line": _again(Outcome.BAD_ANSWER),
    "huge": _final(Outcome.TOO_LARGE),
    "length-short": _final(Outcome.TRUNCATED),
    "length-long": _again(Outcome.CUT_OFF),
    "chunked-cut": _again(Outcome.CUT_OFF),
    "chunked-bad": _again(Outcome.CUT_OFF),
    "html": _final(Outcome.NOT_AN_IMAGE),
    "svg": _final(Outcome.NOT_AN_IMAGE),
    "pdf": _final(Outcome.NOT_AN_IMAGE),
    "text": _final(Outcome.NOT_AN_IMAGE),
    "empty": _final(Outcome.EMPTY),
    "truncated": _final(Outcome.TRUNCATED),
    "damaged-png": _final(Outcome.DAMAGED),
    "damaged-gzip": _final(Outcome.DAMAGED),
    "bomb-png": _final(Outcome.TOO_MANY_PIXELS),
    "bomb-gzip": _final(Outcome.TOO_LARGE),
    "bomb-scans": _final(Outcome.TOO_MUCH_WORK),
    "gif-1x1": _final(Outcome.TOO_SMALL),
    "side-63": _final(Outcome.TOO_SMALL),
    "placeholder": Behaviour(Outcome.KEPT, Outcome.PLACEHOLDER, content="placeholder"),
    "noai": _final(Outcome.OPTED_OUT),
    "noimageai-ours": _final(Outcome.OPTED_OUT),
    "redirect-circle": _final(Outcome.REDIRECT_LOOP, 2),
    "redirect-self": _final(Outcome.REDIRECT_LOOP),
    "redirect-20": _final(Outcome.REDIRECT_LOOP, 11),
    "redirect-file": _final(Outcome.BAD_REDIRECT),
    "redirect-nowhere": _final(Outcome.BAD_REDIRECT),
    "redirect-bad-host": _final(Outcome.BAD_REDIRECT),
    "refused": Behaviour(Outcome.CONNECTION_REFUSED, Outcome.CONNECTION_REFUSED, 0),
    "tls-self-signed": Behaviour(Outcome.TLS, Outcome.TLS, 0),
    "tls-hang": Behaviour(Outcome.CONNECT_TIMEOUT, Outcome.CONNECT_TIMEOUT, 0),
    "tls-plain": Behaviour(Outcome.TLS, Outcome.TLS, 0),
}

# Pictures


@cache
def _strips() -> tuple[bytes, list[list[bytes]]]:
    """What every good picture begins with, and, for each row of blocks, the strips that it may be made of.

    A JPEG with a restart marker a row can be cut there and put together with rows of others.
    """
    random = np.random.default_rng(82)
    heads, rows = set(), []
    for _ in range(_STRIPS):
        coarse = Image.fromarray(random.integers(0, 256, (10, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=85, restart_marker_rows=1)
        content = file.getvalue()
        start = content.index(b"\xff\xda") + 2
        start += int.from_bytes(content[start : start + 2], "big")
        heads.add(content[:start])
        rows.append(re.split(rb"\xff[\xd0-\xd7]", content[start:-2]))
    (head,) = heads
    return head, [list(row) for row in zip(*rows, strict=True)]


def picture(number: int) -> bytes:
    """A JPEG that nobody else's looks like; its number is in its comment, too."""
    head, rows = _strips()
    comment = b"%d" % number
    chosen = hashlib.blake2b(comment, digest_size=len(rows)).digest()
    parts = [head[:_JFIF], b"\xff\xfe", (len(comment) + 2).to_bytes(2, "big"), comment, head[_JFIF:]]
    for i, row in enumerate(rows):
        if i:
            parts.append(bytes((0xFF, 0xD0 + (i - 1) % 8)))
        parts.append(row[chosen[i] % _STRIPS])
    parts.append(b"\xff\xd9")
    return b"".join(parts)


def content(name: str, number: int) -> bytes:
    """The bytes that are to be kept of a link whose behaviour says so."""
    return _other(name) if (name := BEHAVIOURS[name].content) != "good" else picture(number)


@cache
def _other(name: str) -> bytes:
    """A picture that is the same for all links of its kind."""
    good = Image.open(io.BytesIO(picture(0)))
    sides = {"side-64": (64, 90), "side-63": (90, 63), "gif-1x1": (1, 1)}
    image = good.resize(sides[name]) if name in sides else good
    form, options = {
        "png": ("PNG", {}),
        "gif": ("GIF", {}),
        "gif-1x1": ("GIF", {}),
        "gif-animated": ("GIF", {"save_all": True, "append_images": [good.rotate(180)], "duration": 100}),
        "webp": ("WEBP", {}),
        "bmp": ("BMP", {}),
        "tiff": ("TIFF", {}),
        "avif": ("AVIF", {}),
    }.get(name, ("JPEG", {}))
    if name == "cmyk":
        image = image.convert("CMYK")
    if name == "placeholder":
        image = Image.new("RGB", SIZE, (200, 220, 240))
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _png(width: int, height: int, data: bytes) -> bytes:
    """A PNG that says so, whatever its data holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "image/jpeg") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _head(*headers: str, status: str = "200 OK") -> bytes:
    """An answer without a length: its body ends with the connection, or as its headers say."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: image/jpeg", *headers, "", ""]).encode("latin-1")


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


@cache
def _bomb() -> bytes:
    """A picture and a lot of zeros; gzip's members can be put one after the other."""
    return gzip.compress(picture(0)) + gzip.compress(bytes(1 << 20)) * (_BOMB >> 20)


@cache
def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A grey progressive JPEG that goes over its frame so often: it repeats its last scan, which changes nothing."""
    file = io.BytesIO()
    Image.new("L", (side, side), 128).save(file, "JPEG", progressive=True, quality=50)
    content = file.getvalue()
    last, there = content.rindex(b"\xff\xda"), content.count(b"\xff\xda")
    return content[:-2] + content[last:-2] * (scans - there) + b"\xff\xd9"


# What is asked, and how it is answered


@dataclass
class _Host:
    """What a host saw."""

    connections: int = 0
    most_connections: int = 0
    requests: int = 0  # being answered
    most_requests: int = 0
    starts: list[float] = field(default_factory=list)  # time.monotonic(), the same clock for all processes


class _Counts:
    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()  # HOST/behaviour/number.jpg
        self.hosts: defaultdict[str, _Host] = defaultdict(_Host)

    def reset(self) -> None:
        """Forget all but the connections that are open."""
        self.paths.clear()
        for host in self.hosts.values():
            host.most_connections, host.most_requests, host.starts = host.connections, host.requests, []

    def json(self) -> bytes:
        return json.dumps({"paths": self.paths, "hosts": {k: vars(v) for k, v in self.hosts.items()}}).encode()


class _Conversation(asyncio.Protocol):
    """One connection. A behaviour gets it, with the question in `host`, `name`, `number` and `times`."""

    transport: asyncio.Transport
    host: str  # that was connected to
    name: str
    number: int
    query: str
    times: int  # that this path was asked for, this one included

    def __init__(self, web: "_Web") -> None:
        self.web = web
        self.received = b""
        self.busy = False
        self.gone = False
        self.writable = asyncio.Event()
        self.writable.set()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.host = transport.get_extra_info("sockname")[0]
        self.seen = self.web.counts.hosts[self.host]
        self.seen.connections += 1
        self.seen.most_connections = max(self.seen.most_connections, self.seen.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.seen.connections -= 1
        self.done()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.received.startswith(b"GET "[: len(self.received)]):  # a TLS handshake, most likely
            self.close(_plain("400 Bad Request")(0))
            return
        if self.received.endswith(b"\r\n\r\n"):  # no client of ours asks before it has the answer
            target = self.received.split(b" ", 2)[1].decode("latin-1")
            self.received = b""
            self.asked(target)

    # Behaviours call these

    def asked(self, target: str) -> None:
        if target.startswith("/_"):
            self.control(target)
            return
        self.seen.starts.append(time.monotonic())
        self.seen.requests += 1
        self.busy = True
        self.seen.most_requests = max(self.seen.most_requests, self.seen.requests)
        path = self.host + target
        self.web.counts.paths[path] += 1
        self.times = self.web.counts.paths[path]
        place, _, self.query = target.partition("?")
        _, self.name, rest = (place + "//").split("/", 2)
        digits = rest.partition(".")[0].strip("/")
        self.number = int(digits) if digits.isdecimal() else 0
        if self.web.latency:
            asyncio.get_running_loop().call_later(self.web.latency, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        if self.gone:
            return
        if self.name in _FIXED:
            self.send(_FIXED[self.name](self.number))
        elif self.name in _ACTIONS:
            _ACTIONS[self.name](self)
        else:
            self.send(_answer(b"there is nothing here", status="404 Not Found", kind="text/plain"))

    def control(self, target: str) -> None:
        if target == "/_reset":
            self.web.counts.reset()
        self.transport.write(_answer(self.web.counts.json(), kind="application/json"))

    def done(self) -> None:
        if self.busy:
            self.busy = False
            self.seen.requests -= 1

    def send(self, answer: bytes) -> None:
        """A whole answer; the connection stays open."""
        self.done()
        self.transport.write(answer)

    def close(self, answer: bytes = b"") -> None:
        """An answer, and the end of the connection."""
        self.transport.write(answer)
        self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def reset_after(self, answer: bytes) -> None:
        """Part of an answer; the reset comes when the client has read it, for it would overtake the rest."""
        self.transport.write(answer)
        asyncio.get_running_loop().call_later(_DRIP, self.reset)

    def begin(self, answer: bytes) -> None:
        """The beginning of an answer whose rest never comes."""
        self.transport.write(answer)

    def drip(self, answer: bytes, drop: bytes) -> None:
        """The beginning of an answer, then `drop` again and again until the client has had enough."""
        if not self.gone:
            self.transport.write(answer)
            asyncio.get_running_loop().call_later(_DRIP, self.drip, drop, drop)

    def flood(self, answer: bytes, wave: bytes) -> None:
        """As `drip`, as fast as the client reads."""

        async def pour() -> None:
            self.transport.write(answer)
            while not self.gone:
                self.transport.write(wave)
                await asyncio.sleep(0)
                await self.writable.wait()

        self.web.keep(asyncio.get_running_loop().create_task(pour()))

    def redirect(self, location: str) -> None:
        self.send(_answer(b"", f"Location: {location}", status="302 Found"))

    def here(self, path: str) -> str:
        return f"http://{self.host}:{self.web.ports['http']}/{path}"


def _plain(status: str, *headers: str) -> Callable[[int], bytes]:
    return lambda number: _answer(b"<html>sorry</html>", *headers, status=status, kind="text/html")


# Answers that depend on the number alone.
_FIXED: dict[str, Callable[[int], bytes]] = {
    "good": lambda n: _answer(picture(n)),
    "octet-stream": lambda n: _answer(picture(n), kind="application/octet-stream"),
    "as-html": lambda n: _answer(picture(n), kind="text/html"),
    "chunked": lambda n: (
        _head("Transfer-Encoding: chunked") + _chunk(picture(n)[:99]) + _chunk(picture(n)[99:]) + b"0\r\n\r\n"
    ),
    "gzip": lambda n: _answer(gzip.compress(picture(n)), "Content-Encoding: gzip"),
    "deflate": lambda n: _answer(zlib.compress(picture(n)), "Content-Encoding: deflate"),
    "noai-others": lambda n: _answer(picture(n), "X-Robots-Tag: noindex", "X-Robots-Tag: googlebot: noai, noimageai"),
    "noai": lambda n: _answer(picture(n), "X-Robots-Tag: noindex", "X-Robots-Tag: nofollow, NoAI"),
    "noimageai-ours": lambda n: _answer(picture(n), "X-Robots-Tag: fewpose: max-snippet: 5, noimageai"),
    "429": _plain("429 Too Many Requests", "Retry-After: 0"),
    "500": _plain("500 Internal Server Error"),
    "408": _plain("408 Request Timeout"),
    "400": _plain("400 Bad Request"),
    "401": _plain("401 Unauthorized", "WWW-Authenticate: Basic"),
    "403": _plain("403 Forbidden"),
    "404": _plain("404 Not Found"),
    "404-with-picture": lambda n: _answer(picture(n), status="404 Not Found"),
    "410": _plain("410 Gone"),
    "451": _plain("451 Unavailable For Legal Reasons"),
    "304": lambda n: b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "204": lambda n: b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": lambda n: _answer(picture(n)[:500], "Content-Range: bytes 0-499/9999", status="206 Partial Content"),
    "999": _plain("999 Request denied"),
    "two-lengths": lambda n: _head("Content-Length: 5", "Content-Length: 6") + b"123456",
    "length-short": lambda n: _head(f"Content-Length: {len(picture(n)) // 2}") + picture(n),
    "html": lambda n: _answer(b"<!DOCTYPE html>\n<title>gone</title>"),
    "svg": lambda n: _answer(
        b'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="150"/>', kind="image/svg+xml"
    ),
    "pdf": lambda n: _answer(b"%PDF-1.7\n" + bytes(2000)),
    "text": lambda n: _answer(b"no such picture"),
    "empty": lambda n: _answer(b""),
    "truncated": lambda n: _answer(picture(n)[: len(picture(n)) // 2]),
    "damaged-png": lambda n: _answer(_png(200, 150, zlib.compress(bytes(601 * 150))[::-1]), kind="image/png"),
    "damaged-gzip": lambda n: _answer(picture(n), "Content-Encoding: gzip"),
    "bomb-png": lambda n: _answer(_png(50_000, 50_000, zlib.compress(bytes(1000))), kind="image/png"),
    "bomb-gzip": lambda n: _answer(_bomb(), "Content-Encoding: gzip"),
    "bomb-scans": lambda n: _answer(jpeg_of_scans(2000, 1000)),
    "redirect-file": lambda n: _answer(b"", "Location: file:///etc/passwd", status="302 Found"),
    "redirect-nowhere": _plain("301 Moved Permanently"),
    "redirect-bad-host": lambda n: _answer(b"", "Location: http://[::1/", status="301 Moved Permanently"),
    "redirect-private": lambda n: _answer(
        b"", "Location: http://169.254.169.254/latest/meta-data/", status="302 Found"
    ),
}
_SAME = (
    "png",
    "gif",
    "gif-1x1",
    "gif-animated",
    "webp",
    "bmp",
    "tiff",
    "cmyk",
    "avif",
    "side-64",
    "side-63",
    "placeholder",
)
_FIXED |= {name: partial(lambda name, number: _answer(_other(name)), name) for name in _SAME}


def _then(first: Callable[[_Conversation], None]) -> Callable[[_Conversation], None]:
    """Once so, and good after that."""
    return lambda c: first(c) if c.times == 1 else c.send(_answer(picture(c.number)))


def _date(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


def _steps(steps: int) -> Callable[[_Conversation], None]:
    """So many redirects (/redirect-5/12.jpg?1, ?2, ...), and then the picture."""

    def answer(c: _Conversation) -> None:
        step = int(c.query or 0) + 1
        if step > steps:
            c.send(_answer(picture(c.number)))
        else:
            c.redirect(f"?{step}")

    return answer


# What needs the connection, or remembers.
_ACTIONS: dict[str, Callable[[_Conversation], None]] = {
    "until-close": lambda c: c.close(_head() + picture(c.number)),
    "redirect": lambda c: c.redirect(c.here(f"good/{c.number}.jpg")),
    "redirect-relative": lambda c: c.redirect(f"../good/{c.number}.jpg#there"),
    "redirect-5": _steps(5),
    "redirect-20": _steps(20),
    "redirect-self": lambda c: c.redirect(f"{c.number}.jpg"),
    "redirect-endless": lambda c: c.flood(
        _head(f"Location: /good/{c.number}.jpg", status="302 Found"), b"x" * (1 << 16)
    ),
    "redirect-circle": lambda c: c.redirect("?1" if c.query != "1" else f"/redirect-circle/{c.number}.jpg"),
    "redirect-elsewhere": lambda c: c.redirect(f"//127.9.9.9:{c.web.ports['http']}/good/{c.number}.jpg"),
    "429-then-good": _then(lambda c: c.send(_plain("429 Too Many Requests", f"Retry-After: {RETRY_AFTER}")(0))),
    "429-date": _then(lambda c: c.send(_plain("429 Too Many Requests", f"Retry-After: {_date(RETRY_AFTER)}")(0))),
    "503-then-good": _then(lambda c: c.send(_plain("503 Service Unavailable", f"Retry-After: {RETRY_AFTER}")(0))),
    "500-then-good": _then(lambda c: c.send(_FIXED["500"](0))),
    "reset-then-good": _then(lambda c: c.reset()),
    "stall-then-good": _then(lambda c: None),
    "reset": lambda c: c.reset(),
    "reset-in-body": lambda c: c.reset_after(_answer(picture(c.number))[:-500]),
    "close": lambda c: c.close(),
    "close-in-headers": lambda c: c.close(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "garbage": lambda c: c.close(b"\0\1\2 this is no HTTP\r\n\r\n" * 20),
    "stall": lambda c: None,
    "stall-in-headers": lambda c: c.begin(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "stall-in-body": lambda c: c.begin(_answer(picture(c.number))[:-500]),
    "drip-headers": lambda c: c.drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "drip-body": lambda c: c.drip(_head("Content-Length: 9999") + picture(c.number)[:1500], b"x"),
    "drip-chunk-size": lambda c: c.drip(_head("Transfer-Encoding: chunked") + _chunk(picture(c.number)), b"0"),
    "endless-body": lambda c: c.flood(_head() + picture(c.number), bytes(1 << 16)),
    "endless-html": lambda c: c.flood(_head() + b"<html>", b"<p>and so on</p>" * 1000),
    "endless-headers": lambda c: c.flood(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 10),
    "endless-header-line": lambda c: c.flood(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 1000),
    "huge": lambda c: c.begin(_head("Content-Length: 999999999") + picture(c.number)),
    "length-long": lambda c: c.close(_head("Content-Length: 99999") + picture(c.number)),
    "chunked-cut": lambda c: c.close(_head("Transfer-Encoding: chunked") + _chunk(picture(c.number))),
    "chunked-bad": lambda c: c.close(_head("Transfer-Encoding: chunked") + _chunk(picture(c.number)) + b"what?\r\n"),
}


# The process


class _Web:
    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.counts = _Counts()
        self.ports: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, task: asyncio.Task[None]) -> None:
        """asyncio itself forgets its tasks."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def serve(self, port_file: Path) -> None:
        """Until stdin ends, which it does with whoever started this."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(over.set)), daemon=True).start()
        with tempfile.TemporaryDirectory() as folder, socket.socket() as refused:
            refused.bind(("0.0.0.0", 0))  # noqa: S104  taken, and never listened at
            servers = {
                "http": await loop.create_server(lambda: _Conversation(self), "0.0.0.0", 0, backlog=1024),  # noqa: S104
                "hang": await loop.create_server(asyncio.Protocol, "0.0.0.0", 0),  # noqa: S104
            }
            certificate = _certificate(Path(folder))
            if certificate:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(certificate)
                servers["tls"] = await loop.create_server(lambda: _Conversation(self), "0.0.0.0", 0, ssl=tls)  # noqa: S104
            self.ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
            self.ports["refused"] = refused.getsockname()[1]
            picture(0)
            unfinished = port_file.with_suffix(".new")
            unfinished.write_text(json.dumps({"ports": self.ports, "certificate": str(certificate or "")}))
            unfinished.replace(port_file)
            await over.wait()


def _certificate(folder: Path) -> Path | None:
    """A certificate for localhost that nobody signed, with its key; None where there is no openssl to make it."""
    if not shutil.which("openssl"):
        return None
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    kind = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both


@dataclass(frozen=True)
class Web:
    """The web from outside."""

    ports: dict[str, int]  # http, hang, refused, and tls where there is openssl
    certificate: str  # a file for those who want to trust it, and ""

    def url(self, name: str, number: int = 0, host: str = "127.0.0.1") -> str:
        """The link whose behaviour is `name`."""
        scheme, port = {
            "refused": ("http", "refused"),
            "tls-hang": ("https", "hang"),
            "tls-plain": ("https", "http"),
            "tls-self-signed": ("https", "tls"),
        }.get(name, ("http", "http"))
        return f"{scheme}://{host}:{self.ports[port]}/{name}/{number}.jpg"

    def behaviours(self) -> dict[str, Behaviour]:
        """Those that this machine can show."""
        return {name: b for name, b in BEHAVIOURS.items() if "tls" in self.ports or name != "tls-self-signed"}

    def counts(self) -> dict[str, Any]:
        """{"paths": {HOST/behaviour/number.jpg: requests}, "hosts": {HOST: most_connections, most_requests, ...}}."""
        return dict(self._control("counts"))

    def reset(self) -> None:
        self._control("reset")

    def _control(self, word: str) -> Any:
        with urllib.request.urlopen(f"http://127.255.0.1:{self.ports['http']}/_{word}", timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def serving(latency: float = 0.0) -> Iterator[Web]:
    """The web in a process of its own. latency: seconds before each answer."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "ports.json"
        command = [sys.executable, "-m", "benchmarks.web", "--port-file", str(port_file), "--latency", str(latency)]
        root = Path(__file__).resolve().parents[1]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=root) as process:
            while not port_file.exists():
                if process.poll() is not None:
                    raise RuntimeError(f"the web ended at once (exit code {process.returncode})")
                time.sleep(0.02)
            try:
                yield Web(**json.loads(port_file.read_text()))
            finally:
                process.communicate()  # closes its stdin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port-file", type=Path, required=True, help="where to write the ports, as JSON")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    asyncio.run(_Web(options.latency).serve(options.port_file))


if __name__ == "__main__":
    main()
