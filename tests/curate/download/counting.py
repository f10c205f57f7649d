"""A local web that counts, and a `fetch` for engines whose workers are elsewhere: what their tests share.

A worker that is spawned imports this module, so it is light, and knows nothing of pytest.
"""

import http.client
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from curate.download.web import archive
from curate.download.web.job import Answer, Job, Result
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings

if TYPE_CHECKING:
    from curate.download.run import Engine  # and with it pandas

BRIEFLY = 4.0  # seconds: engines stop within one, and a machine that is busy is given more


class Web(ThreadingHTTPServer):
    """Every 127.0.x.1 is a host. Counts who was asked for what, and how often at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), _Page)  # noqa: S104  (all of 127.0.0.0/8, in a test)
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.most: Counter[str] = Counter()  # host: requests at once; "" is all hosts
        self._now: Counter[str] = Counter()

    @contextmanager
    def counted(self, host: str, path: str) -> Iterator[None]:
        with self.lock:
            self.asked[host + path] += 1
            self._now.update(["", host])
            self.most |= self._now
        yield
        with self.lock:
            self._now.subtract(["", host])

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # such as: of a worker that was killed
            super().handle_error(request, client_address)

    def job(self, host: int, path: str) -> Job:
        url = f"http://127.0.{host}.1:{self.server_port}/{path}"
        return Job(url, url)


class _Page(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        with self.server.counted(self.connection.getsockname()[0], self.path):
            time.sleep(30.0 if "hang" in self.path else 0.01)
        body = self.path.encode() * (200_000 if "large" in self.path else 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def counting() -> Iterator[Web]:
    """The web, on a thread."""
    with Web() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def drain(engine: "Engine", seconds: float = 60.0) -> list[Result]:
    """All that is still to come."""
    results: list[Result] = []
    end = time.monotonic() + seconds
    while not engine.idle:
        assert time.monotonic() < end, engine.counts()
        results += engine.take(0.2)
    return results


def each_of(jobs: Iterable[Job]) -> set[str]:
    """As `Web.asked` names them. It may name more: a stranger's request to a port that was another's before."""
    return {f"{urlsplit(job.url).hostname}{urlsplit(job.url).path}" for job in jobs}


def answer(result: Result) -> Answer:
    assert isinstance(result.answer, Answer)
    return result.answer


# What processes are given


class Cancellation:
    def cancel(self, reason: Outcome) -> None:
        pass


class Stubborn(Exception):
    """Can be pickled, and not be made anew."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Unreadable(str):
    """Can be pickled, and not be made anew."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("nine",)


Fetch = Callable[[Job, Cancellation], Answer]


def make_fetch() -> tuple[Fetch, type[Cancellation]]:
    return _fetch, Cancellation


def _fetch(job: Job, _: Cancellation) -> Answer:
    """Who fetched is in the answer."""
    parts = urlsplit(job.target)
    match parts.path:
        case "/fault":
            raise ZeroDivisionError("seven")
        case "/system":
            raise PermissionError(13, "Permission denied", "seven")
        case "/stubborn":
            raise Stubborn("seven", "it is odd")
        case "/die":
            os._exit(1)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30.0)
    try:
        connection.request("GET", parts.path)
        return Answer(Outcome.KEPT, str(os.getpid()), content=connection.getresponse().read())
    finally:
        connection.close()


def make_nothing() -> tuple[Fetch, type[Cancellation]]:
    raise ZeroDivisionError("eight")


def make_dead() -> tuple[Fetch, type[Cancellation]]:
    os._exit(1)


def make_dead_once(mark: Path) -> tuple[Fetch, type[Cancellation]]:
    """mark: a file that tells the second one that it is not the first."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return _fetch, Cancellation
    os._exit(1)


def make_report(settings: Settings) -> tuple[Fetch, type[Cancellation]]:
    """What was imported to do what a worker does, as the answer to anything."""
    archive.make_fetch(settings)
    return _report, Cancellation


def _report(_: Job, __: Cancellation) -> Answer:
    return Answer(Outcome.GONE, " ".join(sys.modules))
