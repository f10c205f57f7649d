"""Heads of answers that are not as they should be: read to their end, or not used at all."""

import gzip
import http.client
import io
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from benchmarks.web import picture
from curate.download.web import head
from curate.download.web.addresses import Resolver
from curate.download.web.fetch import Fetcher
from curate.download.web.job import Answer, Job, Moved
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

OK = b"HTTP/1.1 200 OK\r\n"
ODD_LINES = {
    "no colon": b"preload\r\n",
    "no name": b": x\r\n",
    "spaces in the name": b"X Y: 1\r\n",
    "quoted": b' "Content-Type": text/html\r\n',
    "two of them": b"this is no header\r\nnor is this\r\n",
    "one with its continuation": b"no header\r\n\tat all: 1\r\n",
    "a name that is not ASCII": "Größe: 1\r\n".encode(),
    "NUL in a name": b"X\0Y: 1\r\n",
    "from, as mail has it": b"From me\r\n",
    "binary": bytes(range(128, 256)) + b"\r\n",
    "a carriage return alone": b"X-A: 1\rpreload\r\n",
    "a space before the colon": b"X-Expose : a\r\n",
    "NUL in a value": b"X-A: a\0b\r\n",
    "an empty continuation": b"X-A: 1\r\n \r\n",
    "a multipart type": b"Content-Type: multipart/mixed; boundary=x\r\n",
    "a message type": b"Content-Type: message/rfc822\r\n",
}


# The lines


def fields(answer: bytes) -> list[tuple[str, str]]:
    """What http.client makes of the head that is read."""
    return http.client.parse_headers(io.BytesIO(head.read(io.BytesIO(answer)).partition(b"\r\n")[2])).items()


@pytest.mark.parametrize("line", ODD_LINES.values(), ids=ODD_LINES)
def test_the_fields_after_an_odd_line_are_read(line: bytes) -> None:
    found = fields(OK + b"Server: x\r\n" + line + b"X-Robots-Tag: noai\r\nETag: 1\r\n\r\n")
    assert found[0][0] == "Server"
    assert found[-2:] == [("X-Robots-Tag", "noai"), ("ETag", "1")]


@pytest.mark.parametrize(
    "written",
    [
        b"X-Robots-Tag: noai",
        b"x-robots-tag:noai",
        b"X-Robots-Tag : noai",
        b"X-Robots-Tag\t: \t noai \t",
        b"X-Robots-Tag:\r\n noai",
        b"X-Robots-Tag:\n\t noai",
        b"X-Robots-Tag: noai\0",
    ],
)
def test_a_field_is_read_however_it_is_spaced(written: bytes) -> None:
    ((name, value),) = fields(OK + written + b"\r\n\r\n")
    assert (name.lower(), value.strip()) == ("x-robots-tag", "noai")


def test_a_carriage_return_in_a_value_begins_no_other_field() -> None:
    assert fields(OK + b"X-A: 1\rLocation: http://evil.test/\r\n\r\n") == [("X-A", "1 Location: http://evil.test/")]


def test_what_comes_after_the_head_is_left_in_the_stream() -> None:
    stream = io.BytesIO(OK + b"X-A: 1\r\n\r\nbody\r\n\r\n")
    head.read(stream)
    assert stream.read() == b"body\r\n\r\n"


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"103"])
def test_interim_answers_are_left_out_with_their_fields(interim: bytes) -> None:
    before = b"HTTP/1.1 " + interim + b"\r\nLink: </a>\r\nX-Robots-Tag: all\r\n\r\n"
    assert head.read(io.BytesIO(3 * before + OK + b"X-A: 1\r\n\r\n")) == OK + b"X-A: 1\r\n\r\n"


def test_a_head_that_is_cut_off_anywhere_is_none() -> None:
    before = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    whole = before + OK + b"Location: /a\r\nX-A: 1\r\n\r\n"
    assert head.read(io.BytesIO(whole))
    for size in range(len(before + b"HTTP/"), len(whole)):
        with pytest.raises(http.client.IncompleteRead):
            head.read(io.BytesIO(whole[:size]))


@pytest.mark.parametrize("endless", [b"X-A: 1\r\n", b"X", b" \r\n", b"\r\nHTTP/1.1 100 Continue\r\n"])
def test_a_head_has_an_end(endless: bytes) -> None:
    stream = io.BytesIO(b"HTTP/1.1 100 Continue\r\n" + endless * head.MOST_BYTES)
    began = time.process_time()
    with pytest.raises(http.client.LineTooLong):
        head.read(stream)
    assert stream.tell() <= head.MOST_BYTES + 1
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"Content-Length: 5", [("content-length", "5")]),
        (b"Content-Length: 5\r\nContent-Length: 5", [("content-length", "5")]),
        (b"Content-Length: 5, 5", [("content-length", "5")]),
        (b"Content-Length: -5", []),
        (b"Content-Length: +5", []),
        (b"Content-Length: 5_0", []),
        (b"Content-Length: undefined", []),
        (b"Content-Length:", []),
        (b"Transfer-Encoding : Chunked", [("transfer-encoding", "chunked")]),
        (b"Transfer-Encoding: identity, chunked", [("transfer-encoding", "chunked")]),
        (b"Transfer-Encoding: identity", []),
        (b"Location: /a,b\r\nLocation: /a,b", [("location", "/a,b")]),
    ],
)
def test_a_length_a_coding_and_a_location_are_one_or_none(lines: bytes, expected: list[tuple[str, str]]) -> None:
    assert fields(OK + lines + b"\r\n\r\n") == expected


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"Content-Length: 5\r\nContent-Length: 6", "more than one Content-Length"),
        (b"Content-Length: 5, 6", "more than one Content-Length"),
        (b"Content-Length: 5\r\nContent-Length: no", "more than one Content-Length"),
        (b"Location: /a\r\nLocation: /b", "more than one Location"),
        (b"Transfer-Encoding: gzip, chunked", "Transfer-Encoding is 'chunked, gzip'"),
        (b"Transfer-Encoding: \x0bchunked", "Transfer-Encoding is"),
    ],
)
def test_a_head_that_cannot_be_understood_is_none(lines: bytes, said: str) -> None:
    with pytest.raises(head.NotUnderstood, match=said):
        head.read(io.BytesIO(OK + lines + b"\r\n\r\n"))


# Answers, over a connection


KEEP = b"(keep)"  # the connection stays open, where an answer begins so


class _Conversation(socketserver.StreamRequestHandler):
    server: "Raw"

    def handle(self) -> None:
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            answer = self.server.answers[line.split()[1].decode()]
            self.wfile.write(answer.removeprefix(KEEP))
            if not answer.startswith(KEEP):
                return


class Raw(socketserver.ThreadingTCPServer):
    """Says, byte for byte, what it is told to say."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.answers: dict[str, bytes] = {}  # by path

    def handle_error(self, *_: object) -> None:
        """A client hangs up in the middle of an answer where it has read enough."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


@pytest.fixture
def raw() -> Iterator[Raw]:
    with Raw() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def ask(raw: Raw) -> Iterator[Callable[[bytes], Answer]]:
    """What a link comes to whose server says these bytes."""
    settings = Settings(allow_private=True, read_timeout=2.0, connect_timeout=2.0, deadline=8.0)
    with closing(Fetcher(settings, Resolver(allow_private=True))) as fetcher:

        def ask(answer: bytes) -> Answer:
            raw.answers["/1.jpg"] = answer
            url = raw.url("/1.jpg")
            found = fetcher.fetch(Job(url, url), Cancellation())
            assert not isinstance(found, Moved)
            return found

        yield ask


PICTURE = picture(1)
LENGTH = b"Content-Length: %d\r\n" % len(PICTURE)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PICTURE), PICTURE)


@pytest.mark.parametrize("line", ODD_LINES.values(), ids=ODD_LINES)
def test_an_odd_line_hides_nothing(line: bytes, raw: Raw, ask: Callable[[bytes], Answer], place: "Place") -> None:
    assert ask(KEEP + OK + line + LENGTH + b"\r\n" + PICTURE).content == PICTURE
    assert ask(KEEP + OK + line + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS).content == PICTURE
    assert ask(OK + line + LENGTH + b"\r\n" + PICTURE[:-500]).outcome is Outcome.CUT_OFF
    packed = gzip.compress(PICTURE)
    coded = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert ask(KEEP + OK + line + coded + packed).content == PICTURE
    raw.answers["/2.jpg"] = KEEP + OK + LENGTH + b"\r\n" + PICTURE
    moved = ask(KEEP + b"HTTP/1.1 302 Found\r\n" + line + b"Location: /2.jpg\r\nContent-Length: 0\r\n\r\n")
    assert (moved.content, moved.final_url) == (PICTURE, raw.url("/2.jpg"))
    later = ask(KEEP + b"HTTP/1.1 429 Too Many\r\n" + line + b"Retry-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert (later.outcome, later.retry_after) == (Outcome.THROTTLED, 7.0)
    # And what its server reserves is nowhere.
    raw.answers["/3.jpg"] = KEEP + OK + line + b"X-Robots-Tag: noai\r\n" + LENGTH + b"\r\n" + PICTURE
    place.download({"a/3.jpg": raw.url("/3.jpg")})
    assert place.causes == {"a/3.jpg": "opted out"}
    assert place.files == {}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        # Written otherwise, and understood.
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + LENGTH + b"\r\n" + PICTURE, Outcome.KEPT),
        (3 * b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + b"\r\n" + PICTURE, Outcome.KEPT),
        (b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + PICTURE, Outcome.KEPT),
        (OK + b"Content-Length:\r\n\t%d\r\n\r\n" % len(PICTURE) + PICTURE, Outcome.KEPT),
        (OK + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS, Outcome.KEPT),
        (OK + b"Transfer-Encoding: identity, chunked\r\n\r\n" + CHUNKS, Outcome.KEPT),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n" + CHUNKS, Outcome.KEPT),
        (OK + 2 * LENGTH + b"\r\n" + PICTURE, Outcome.KEPT),
        (OK + b"Content-Length: -5\r\n\r\n" + PICTURE, Outcome.KEPT),
        (OK + b"Content-Length: undefined\r\n\r\n" + PICTURE, Outcome.KEPT),
        (OK + b"Content-Length: 5_0\r\n\r\n" + PICTURE, Outcome.KEPT),
        (OK + b"Content-Length: undefined\r\n\r\n" + PICTURE[:-500], Outcome.TRUNCATED),
        (OK + b"X-A: \0\r\n" + LENGTH + b"\r\n" + PICTURE, Outcome.KEPT),
        # Not understood: the next run asks again.
        (OK + b"Content-Length: 5\r\n" + LENGTH + b"\r\n" + PICTURE, Outcome.BAD_ANSWER),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS, Outcome.BAD_ANSWER),
        (b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n", Outcome.BAD_ANSWER),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + LENGTH + b"\r\n" + PICTURE, Outcome.BAD_ANSWER),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, Outcome.BAD_ANSWER),
        (OK + b"X-A: 1\r\n" * 50_000, Outcome.BAD_ANSWER),
        # Cut off in the head, which says less than it would have.
        (b"HTTP/1.1 302 Found\r\nLocation: /gone", Outcome.CUT_OFF),
        (b"HTTP/1.1 302 Found\r\nLocation: /gone\r\n", Outcome.CUT_OFF),
        (b"HTTP/1.1 404 Not Found\r\n", Outcome.CUT_OFF),
        (OK, Outcome.CUT_OFF),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Outcome.RESET),
    ],
)
def test_an_answer_comes_to(answer: bytes, outcome: Outcome, ask: Callable[[bytes], Answer]) -> None:
    began = time.monotonic()
    found = ask(answer)
    assert (found.outcome, found.content) == (outcome, PICTURE if outcome is Outcome.KEPT else b"")
    assert time.monotonic() - began < 4.0  # not the deadline ended it


def test_why_a_head_was_not_understood_is_said(ask: Callable[[bytes], Answer]) -> None:
    assert ask(OK + b"Content-Length: 5\r\n" + LENGTH + b"\r\n").detail == "there is more than one Content-Length"
