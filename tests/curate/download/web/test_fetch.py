import contextlib
import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks import web
from curate.download.web.addresses import Resolver
from curate.download.web.fetch import Fetcher
from curate.download.web.job import Answer, Job, Moved
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation
from tests.curate.download.counting import BRIEFLY

DEADLINE = 2.0
QUICK: dict[str, Any] = {
    "deadline": DEADLINE,
    "read_timeout": 0.5,
    "connect_timeout": 0.5,
    "max_bytes": 1_000_000,
    "allow_private": True,
}


@pytest.fixture(scope="module")
def served() -> Iterator[web.Web]:
    with web.serving() as served:
        yield served


@contextlib.contextmanager
def fetching(resolver: Resolver | None = None, authorities: str = "", **changes: Any) -> Iterator[Fetcher]:
    settings = Settings(**QUICK | changes)
    resolver = resolver or Resolver(allow_private=settings.allow_private)
    options: dict[str, Any] = {"authorities": authorities} if authorities else {}
    with contextlib.closing(Fetcher(settings, resolver, **options)) as fetcher:
        yield fetcher


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    with fetching() as fetcher:
        yield fetcher


def ask(fetcher: Fetcher, url: str, cancel_after: float = DEADLINE, **job: Any) -> tuple[Any, float]:
    """The answer, and the seconds that it took; an engine would cancel it at the deadline."""
    cancellation = Cancellation()
    watcher = threading.Timer(cancel_after, cancellation.cancel)
    watcher.start()
    began = time.monotonic()
    try:
        return fetcher.fetch(Job(url, url, **job), cancellation), time.monotonic() - began
    finally:
        watcher.cancel()


def outcome(fetcher: Fetcher, url: str, **job: Any) -> Outcome:
    return Outcome(ask(fetcher, url, **job)[0].outcome)


@pytest.mark.slow
@pytest.mark.parametrize("name", web.BEHAVIOURS)
def test_each_misbehaviour_has_its_outcome_within_the_deadline(name: str, fetcher: Fetcher, served: web.Web) -> None:
    if name not in served.behaviours():
        pytest.skip("needs openssl")
    expected = web.BEHAVIOURS[name]
    host = f"127.3.{list(web.BEHAVIOURS).index(name)}.1"
    answer, seconds = ask(fetcher, served.url(name, 7, host))
    if expected.first is Outcome.KEPT and isinstance(answer, Answer) and answer.outcome is Outcome.STALLED:
        answer, seconds = ask(fetcher, served.url(name, 7, host))  # the server is this busy machine's, too
    assert seconds < DEADLINE + BRIEFLY
    if expected.first is None:
        assert isinstance(answer, Moved)
        return
    assert answer.outcome == expected.first, answer.detail
    assert answer.content == (web.content(name, 7) if answer.outcome is Outcome.KEPT else b"")
    assert bool(answer.signature) == (answer.outcome is Outcome.KEPT)
    assert bool(answer.detail) == (answer.outcome is not Outcome.KEPT)
    # Whatever it was, the next request to this host gets its own answer.
    assert ask(fetcher, served.url("good", 8, host))[0].content == web.picture(8)


@pytest.mark.slow
def test_the_same_answer_has_the_same_detail(served: web.Web) -> None:
    details = []
    for _ in range(2):
        with fetching() as fetcher:
            names = [name for name, b in served.behaviours().items() if b.first not in (None, Outcome.DEADLINE)]
            with ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda n: fetcher.fetch(Job("", served.url(n, 5)), Cancellation()), names))
        again = {n for n in names if "then-good" in n or n == "429-date"}
        details.append(
            {n: a.detail for n, a in zip(names, answers, strict=True) if isinstance(a, Answer) and n not in again}
        )
    assert details[0] == details[1]


def test_an_answer_says_status_address_wait_and_robots(fetcher: Fetcher, served: web.Web) -> None:
    moved, _ = ask(fetcher, served.url("redirect", 3))
    assert (moved.status, moved.final_url) == (200, served.url("good", 3))
    assert (moved.signature.width, moved.signature.height) == web.SIZE
    gone, _ = ask(fetcher, served.url("404", 3))
    assert (gone.status, gone.final_url, gone.detail) == (404, served.url("404", 3), "HTTP 404")
    assert ask(fetcher, served.url("503-then-good", 90))[0].retry_after == web.RETRY_AFTER
    assert 0 <= ask(fetcher, served.url("429-date", 90))[0].retry_after <= web.RETRY_AFTER
    small, _ = ask(fetcher, served.url("side-63"))
    assert (small.width, small.height) == (90, 63)
    assert ask(fetcher, served.url("noai-others"))[0].robots == "noindex, googlebot: noai, noimageai"


def test_what_its_server_reserves_is_kept_where_that_is_ignored_and_recorded(served: web.Web) -> None:
    with fetching(ignore_noai=True) as fetcher:
        answer, _ = ask(fetcher, served.url("noai", 3))
    assert (answer.outcome, answer.content) == (Outcome.KEPT, web.picture(3))
    assert answer.robots == "noindex, nofollow, NoAI"


@pytest.mark.slow
def test_threads_get_their_own_answers(fetcher: Fetcher, served: web.Web) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: ask(fetcher, served.url("good", n, f"127.0.{n % 5}.1"))[0], range(300))
    assert [answer.content for answer in answers] == [web.picture(n) for n in range(300)]


# Time


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stall", "drip-headers", "drip-body", "drip-chunk-size", "stall-in-body", "tls-hang"])
def test_a_line_that_is_cut_ends_at_once(name: str, served: web.Web) -> None:
    with fetching(deadline=60, read_timeout=60, connect_timeout=60) as fetcher:
        for _ in range(2):  # on a new connection, and on one that was used before
            answer, seconds = ask(fetcher, served.url(name), cancel_after=0.3)
            assert (answer.outcome, seconds < BRIEFLY) == (Outcome.DEADLINE, True)
            assert outcome(fetcher, served.url("good")) is Outcome.KEPT


@pytest.mark.slow
def test_a_line_that_is_cut_ends_inside_tls_too(served: web.Web) -> None:
    if not served.certificate:
        pytest.skip("needs openssl")
    with fetching(authorities=served.certificate, deadline=60, read_timeout=60) as fetcher:
        for name in ("drip-headers", "drip-body", "stall"):
            answer, seconds = ask(fetcher, f"https://127.0.0.1:{served.ports['tls']}/{name}/1.jpg", cancel_after=0.3)
            assert (answer.outcome, seconds < BRIEFLY) == (Outcome.DEADLINE, True)


def test_a_line_that_is_cut_ends_the_wait_for_a_name() -> None:
    def hanging(*_: Any, **__: Any) -> list[Any]:
        time.sleep(3)
        return []

    with fetching(Resolver(lookup=hanging), deadline=60) as fetcher:
        answer, seconds = ask(fetcher, "http://name.test/1.jpg", cancel_after=0.2)
    assert (answer.outcome, seconds < BRIEFLY) == (Outcome.DEADLINE, True)


def test_a_line_that_was_cut_before_asks_nobody(fetcher: Fetcher, served: web.Web) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    url = served.url("good", 1, "127.4.0.1")
    answer = fetcher.fetch(Job(url, url), cancellation)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.DEADLINE
    assert "127.4.0.1" not in served.counts()["hosts"]


@pytest.mark.slow
def test_a_host_that_accepts_no_connection_times_out_and_can_be_cut() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(4):  # the queue is full then; what comes next is left unanswered
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(full.getsockname())
        time.sleep(0.1)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/1.jpg"
        with fetching() as fetcher:
            answer, seconds = ask(fetcher, url)
            assert (answer.outcome, 0.4 < seconds < BRIEFLY) == (Outcome.CONNECT_TIMEOUT, True)
        with fetching(connect_timeout=60, deadline=60) as fetcher:
            answer, seconds = ask(fetcher, url, cancel_after=0.2)
            assert (answer.outcome, seconds < BRIEFLY) == (Outcome.DEADLINE, True)


def test_time_that_was_spent_before_counts(fetcher: Fetcher, served: web.Web) -> None:
    answer, seconds = ask(fetcher, served.url("stall"), spent=DEADLINE - 0.2)
    assert (answer.outcome, seconds < DEADLINE) == (Outcome.DEADLINE, True)
    url = served.url("good", 1, "127.4.0.2")
    assert outcome(fetcher, url) is Outcome.KEPT
    assert outcome(fetcher, url, spent=DEADLINE + 1) is Outcome.DEADLINE
    assert len(served.counts()["hosts"]["127.4.0.2"]["starts"]) == 1


# Redirects


def test_a_redirect_to_another_site_is_moved_to_in_normal_form(fetcher: Fetcher, served: web.Web) -> None:
    answer, _ = ask(fetcher, served.url("redirect-elsewhere", 4))
    assert answer == Moved(served.url("good", 4, "127.9.9.9"))


def test_redirects_before_count(fetcher: Fetcher, served: web.Web) -> None:
    url = served.url("redirect-5", 2)
    assert outcome(fetcher, url, hops=("http://a.test/", "http://b.test/")) is Outcome.KEPT
    assert outcome(fetcher, url, hops=tuple(f"http://{n}.test/" for n in range(6))) is Outcome.REDIRECT_LOOP
    assert outcome(fetcher, url, hops=(f"{url}?2",)) is Outcome.REDIRECT_LOOP


# Addresses


def test_a_redirect_to_a_metadata_service_is_blocked(fetcher: Fetcher, served: web.Web) -> None:
    answer, _ = ask(fetcher, served.url("redirect-private"))
    assert isinstance(answer, Moved)
    with fetching(allow_private=False) as strict:
        assert outcome(strict, answer.target) is Outcome.BLOCKED_ADDRESS


@pytest.mark.parametrize(
    "host", ["127.5.0.1", "127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::1]", "[::ffff:127.5.0.1]"]
)
def test_no_spelling_of_a_private_address_is_connected_to(host: str, served: web.Web) -> None:
    before = served.counts()["hosts"].get("127.0.0.1", {}).get("starts", [])
    with fetching(allow_private=False) as fetcher:
        assert outcome(fetcher, f"http://{host}:{served.ports['http']}/good/1.jpg") is Outcome.BLOCKED_ADDRESS
    hosts = served.counts()["hosts"]
    assert "127.5.0.1" not in hosts
    assert hosts.get("127.0.0.1", {}).get("starts", []) == before


def test_the_address_that_was_checked_is_the_one_connected_to(served: web.Web) -> None:
    """DNS rebinding: the second answer for the same name is another one, and nobody asks for it."""
    answers = iter(["127.6.0.1", "127.6.0.2", "127.6.0.3"])

    def rebinding(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]

    with fetching(Resolver(allow_private=True, lookup=rebinding)) as fetcher:
        for number in range(3):
            url = f"http://name.test:{served.ports['http']}/until-close/{number}.jpg"  # a new connection each
            assert ask(fetcher, url)[0].content == web.picture(number)
    hosts = served.counts()["hosts"]
    assert len(hosts["127.6.0.1"]["starts"]) == 3
    assert not {"127.6.0.2", "127.6.0.3"} & set(hosts)


def test_the_next_address_is_tried_where_one_accepts_no_connection(served: web.Web) -> None:
    def two(*_: Any, **__: Any) -> list[Any]:
        family6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))  # nobody listens there
        return [family6, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.6.1.1", 0))]

    with fetching(Resolver(allow_private=True, lookup=two)) as fetcher:
        assert outcome(fetcher, f"http://name.test:{served.ports['http']}/good/1.jpg") is Outcome.KEPT


def test_names_that_are_not_there_and_lookups_that_fail_are_told_apart(served: web.Web) -> None:
    def service(host: str, *_: Any, **__: Any) -> list[Any]:
        if host == "name.test":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
        raise socket.gaierror(socket.EAI_NONAME if host == "none.test" else socket.EAI_AGAIN, "no")

    with fetching(Resolver(allow_private=True, lookup=service)) as fetcher:
        assert outcome(fetcher, f"http://name.test:{served.ports['http']}/good/1.jpg") is Outcome.KEPT
        assert outcome(fetcher, "http://none.test/") is Outcome.NO_SUCH_HOST
        assert outcome(fetcher, "http://later.test/") is Outcome.DNS_FAILED


def test_certificates_are_checked_against_the_name(served: web.Web) -> None:
    if not served.certificate:
        pytest.skip("needs openssl")
    with fetching(authorities=served.certificate) as fetcher:
        port = served.ports["tls"]
        assert ask(fetcher, f"https://127.0.0.1:{port}/good/3.jpg")[0].content == web.picture(3)
        assert outcome(fetcher, f"https://127.0.0.2:{port}/good/3.jpg") is Outcome.TLS


def test_the_environment_names_no_proxy(served: web.Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{served.ports['refused']}")
    with fetching() as fetcher:
        assert outcome(fetcher, served.url("good")) is Outcome.KEPT


# Resources


def test_a_bomb_takes_no_more_memory_than_may_be_kept(fetcher: Fetcher, served: web.Web) -> None:
    tracemalloc.start()
    try:
        assert outcome(fetcher, served.url("bomb-gzip")) is Outcome.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_few_idle_connections_are_kept_and_none_after_the_end(served: web.Web) -> None:
    def connections() -> int:
        return sum(host["connections"] for name, host in served.counts()["hosts"].items() if name.startswith("127.7."))

    with fetching(per_site=128) as fetcher:
        for number in range(60):
            assert outcome(fetcher, served.url("good", number, f"127.7.{number}.1")) is Outcome.KEPT
        time.sleep(0.2)
        assert 1 <= connections() <= 4  # 512 between them
    gc.collect()
    time.sleep(0.2)
    assert connections() == 0


def test_a_connection_is_used_again(fetcher: Fetcher, served: web.Web) -> None:
    for number in range(5):
        assert outcome(fetcher, served.url("good", number, "127.8.0.1")) is Outcome.KEPT
    assert served.counts()["hosts"]["127.8.0.1"]["connections"] == 1


# Text


@pytest.mark.slow
def test_text_is_given_as_bytes_and_no_more_than_a_little(fetcher: Fetcher, served: web.Web) -> None:
    def text(name: str) -> bytes | Answer | Moved:
        return fetcher.fetch_text(Job("", served.url(name, 2)), Cancellation())

    assert text("text") == b"no such picture"
    assert text("redirect") == web.picture(2)
    assert isinstance(text("redirect-elsewhere"), Moved)
    for name, expected in {
        "404": Outcome.NOT_FOUND,
        "endless-html": Outcome.TOO_LARGE,
        "stall": Outcome.STALLED,
    }.items():
        answer = text(name)
        assert isinstance(answer, Answer)
        assert answer.outcome is expected
