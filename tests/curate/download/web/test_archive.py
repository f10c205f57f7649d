"""Links that are lost, and an archive that has some of them: a stand-in for the Wayback Machine on this machine."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks import web
from benchmarks.web import Web
from curate.download.web import archive

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

HOST = "127.8.0.1"


@dataclass(frozen=True)
class Copy:
    """What the archive has of a link."""

    content: bytes = b""
    available: bool = True
    answer: bytes = b""  # to the question where the copy is, instead of the usual one
    throttled: int = 0  # so many questions are answered with 429
    url: str = ""  # where the copy is said to be, instead of where it is


class Archive(ThreadingHTTPServer):
    """Availability at /wayback/available, copies at /web/TIMEid_/LINK; without id_ they come in a page."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Page)
        self.copies: dict[str, Copy] = {}
        self.paths: list[str] = []
        self.most = 0  # requests at once
        self.latency = 0.0
        self._now = 0
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.server_port}/wayback/available"

    @property
    def questions(self) -> Counter[str]:
        """How often each link was asked for."""
        return Counter(parse_qs(urlsplit(path).query)["url"][0] for path in self.paths if path.startswith("/wayback"))

    @contextmanager
    def counted(self, path: str) -> Iterator[None]:
        with self._lock:
            self.paths.append(path)
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.latency)
        with self._lock:
            self._now -= 1  # before the answer is sent: its reader may ask again at once
        yield


class _Page(BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        with self.server.counted(self.path):
            if self.path.startswith("/wayback/available?"):
                self._say_where(parse_qs(urlsplit(self.path).query)["url"][0])
            else:
                self._give(*self.path.removeprefix("/web/").split("/", 1))

    def _say_where(self, link: str) -> None:
        copy = self.server.copies.get(link)
        if copy is None:
            self._send(b'{"archived_snapshots": {}}', "application/json")
        elif self.server.questions[link] <= copy.throttled:
            self._send(b"later", "text/plain", 429)
        elif copy.answer:
            self._send(copy.answer, "application/json")
        else:
            where = copy.url or f"http://{HOST}:{self.server.server_port}/web/20160203040506/{link}"
            closest = {"available": copy.available, "url": where, "timestamp": "20160203040506", "status": "200"}
            self._send(json.dumps({"archived_snapshots": {"closest": closest}}).encode(), "application/json")

    def _give(self, moment: str, link: str) -> None:
        if moment.endswith("id_"):
            self._send(self.server.copies[link].content, "image/jpeg")
        else:
            self._send(b"<html>the archive's frame around a picture</html>", "text/html")

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def copies() -> Iterator[Archive]:
    with Archive() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def lost(site: Web, *names: str) -> dict[str, str]:
    """A link of each behaviour, whose number is its place."""
    return {f"{name}/{n}.jpg": site.url(name, n, f"127.8.1.{n + 1}") for n, name in enumerate(names)}


def archived(number: int) -> bytes:
    return web.picture(1000 + number)


LOST = ("404", "410", "html", "204", "redirect-self", "redirect-nowhere")


def test_the_question_quotes_the_link_and_keeps_the_query_of_the_endpoint() -> None:
    url = "http://x.org/a b.jpg?w=1&h=2"
    job = archive.job(url, "https://archive.org/wayback/available")
    assert (job.url, job.via) == (url, "archive")
    assert parse_qs(urlsplit(job.target).query) == {"url": [url]}
    job = archive.job(url, "https://archive.org/wayback/available?timestamp=2018")
    assert parse_qs(urlsplit(job.target).query) == {"timestamp": ["2018"], "url": [url]}


def test_what_the_web_has_lost_comes_from_the_archive(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, *LOST)
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(links.values())}
    summary = place.download(links, archive=copies.endpoint)
    assert (summary.asked, summary.kept) == (len(LOST), len(LOST))
    assert set(place.causes.values()) == {"kept"}
    assert place.files == {key: archived(n) for n, key in enumerate(links)}
    assert len(place.collection.rejects()) == 0
    for url in links.values():
        row = place.rows[url, "archive"]
        assert row.outcome == "kept"
        assert row.final_url == f"http://{HOST}:{copies.server_port}/web/20160203040506id_/{url}"
        assert place.rows[url, ""].outcome != "kept"
    images = place.collection.images()
    assert dict(zip(images["key"], images["url"], strict=True)) == links


def test_a_second_run_asks_neither_the_web_nor_the_archive(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, "404", "404", "good")
    copies.copies = {next(iter(links.values())): Copy(archived(0))}
    place.download(links, archive=copies.endpoint)
    tables = place.tables
    site.reset()
    copies.paths.clear()
    assert place.download(links, archive=copies.endpoint).asked == 0
    assert (site.counts()["paths"], copies.paths) == ({}, [])
    assert place.tables == tables


@pytest.mark.slow
def test_the_archive_is_asked_only_for_what_is_lost(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, "404", "good", "403", "500", "side-63", "noai", "truncated")
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(links.values())}
    place.download(links, archive=copies.endpoint)
    assert list(copies.questions) == [links["404/0.jpg"]]


@pytest.mark.slow
def test_nothing_is_asked_of_an_archive_unless_it_is_wanted(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, *LOST)
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(links.values())}
    place.download(links)
    assert copies.paths == []
    assert "kept" not in place.causes.values()
    site.reset()
    place.download(links, archive=copies.endpoint)  # wanted later, it is asked without asking the web again
    assert site.counts()["paths"] == {}
    assert set(place.causes.values()) == {"kept"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("copy", "outcome"),
    [
        (None, "not archived"),
        (Copy(available=False), "not archived"),
        (Copy(answer=b"<html>we are moving</html>"), "not archived"),
        (Copy(answer=b'{"archived_snapshots": []}'), "not archived"),
        (Copy(answer=b'{"archived_snapshots": {"closest": {"available": true, "url": null}}}'), "bad redirect"),
        (Copy(url="file:///etc/passwd"), "bad redirect"),
        (Copy(content=b"<html>this page was saved</html>" * 50), "not an image"),
        (Copy(content=archived(1)[:2000]), "truncated"),
        (Copy(content=web.content("gif", 0)[:0]), "empty"),
        (Copy(throttled=9), "throttled"),
    ],
    ids=["none", "unavailable", "no JSON", "other JSON", "no URL", "file", "a page", "truncated", "empty", "throttled"],
)
def test_a_copy_that_is_none_leaves_the_link_with_its_own_cause(
    site: Web, place: "Place", copies: Archive, copy: Copy | None, outcome: str
) -> None:
    links = lost(site, "404", "good")
    url = links["404/0.jpg"]
    copies.copies = {url: copy} if copy else {}
    place.download(links, archive=copies.endpoint, attempts=2)
    assert place.rows[url, "archive"].outcome == outcome
    assert place.causes == {"404/0.jpg": "not found", "good/1.jpg": "kept"}
    assert place.files == {"good/1.jpg": web.picture(1)}
    rejects = place.collection.rejects()
    assert list(zip(rejects["key"], rejects["cause"], rejects["file"], strict=True)) == [
        ("404/0.jpg", "not found", url)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["404", "placeholder"])
def test_an_archived_file_that_was_deleted_is_fetched_again(
    site: Web, place: "Place", copies: Archive, name: str
) -> None:
    links = {f"class-{n % 2}/{n}.jpg": site.url(name, n, "127.8.2.1") for n in range(5)}
    copies.copies = {links["class-0/0.jpg"]: Copy(archived(0))}
    place.download(links, archive=copies.endpoint)
    tables, files = place.tables, place.files
    images = place.collection.images().set_index("key")
    (place.root / images["file"]["class-0/0.jpg"]).unlink()
    site.reset()
    copies.paths.clear()
    assert place.download(links, archive=copies.endpoint).asked == 1
    assert site.counts()["paths"] == {}
    assert copies.questions == {links["class-0/0.jpg"]: 1}
    assert (place.tables, place.files) == (tables, files)


@pytest.mark.slow
def test_an_archive_that_was_busy_is_asked_again(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, "404", "410")
    first, second = links.values()
    copies.copies = {first: Copy(archived(0), throttled=1), second: Copy(archived(1), throttled=3)}
    place.download(links, archive=copies.endpoint, attempts=2)
    assert place.causes == {"404/0.jpg": "kept", "410/1.jpg": "gone"}
    site.reset()
    place.download(links, archive=copies.endpoint, attempts=2)  # the next run
    assert set(place.causes.values()) == {"kept"}
    assert site.counts()["paths"] == {}
    assert copies.questions == {first: 2, second: 4}


@pytest.mark.slow
def test_the_limits_of_a_site_hold_for_the_archive(site: Web, place: "Place", copies: Archive) -> None:
    copies.latency = 0.02
    links = lost(site, *["404"] * 25)
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(links.values())}
    place.download(links, archive=copies.endpoint, per_site=2)
    assert set(place.causes.values()) == {"kept"}
    assert copies.most == 2
    assert len(copies.paths) == 50


@pytest.mark.slow
def test_where_a_placeholder_lies_the_archived_picture_lies_beside(site: Web, place: "Place", copies: Archive) -> None:
    links = {f"class-{n % 2}/{n}.jpg": site.url("placeholder", n, "127.8.2.1") for n in range(6)}
    urls = list(links.values())
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(urls[:4])}
    summary = place.download(links, archive=copies.endpoint)
    assert (summary.asked, summary.known, summary.left) == (6, 0, 0)
    causes = place.causes
    assert [causes[key] for key in links] == ["kept"] * 4 + ["placeholder"] * 2
    placeholder = web.content("placeholder", 0)
    assert {key: place.files[key] for key in links} == dict.fromkeys(links, placeholder)
    images = place.collection.images().set_index("key")
    for n, key in enumerate(list(links)[:4]):
        assert images["file"][key] == f"images/{key.removesuffix('.jpg')}~{images['id'][key][:12]}.jpg"
        assert (place.root / images["file"][key]).read_bytes() == archived(n)
    tables = place.tables
    site.reset()
    copies.paths.clear()
    summary = place.download(links, archive=copies.endpoint)
    assert (summary.asked, summary.known) == (0, 6)
    assert (site.counts()["paths"], copies.paths) == ({}, [])
    assert place.tables == tables


@pytest.mark.slow
def test_an_archive_that_was_busy_is_asked_again_for_placeholders(site: Web, place: "Place", copies: Archive) -> None:
    links = {f"class-{n % 2}/{n}.jpg": site.url("placeholder", n, "127.8.2.1") for n in range(5)}
    url = links["class-0/0.jpg"]
    copies.copies = {url: Copy(archived(0), throttled=1)}
    place.download(links, archive=copies.endpoint, attempts=1)
    assert set(place.causes.values()) == {"placeholder"}
    place.download(links, archive=copies.endpoint, attempts=1)
    assert Counter(place.causes.values()) == {"placeholder": 4, "kept": 1}
    assert copies.questions[url] == 2


def test_the_endpoint_may_have_a_query_of_its_own(site: Web, place: "Place", copies: Archive) -> None:
    links = lost(site, "404")
    copies.copies = {url: Copy(archived(n)) for n, url in enumerate(links.values())}
    place.download(links, archive=f"{copies.endpoint}?timestamp=20180101")
    assert set(place.causes.values()) == {"kept"}
    asked = parse_qs(urlsplit(copies.paths[0]).query)
    assert asked["timestamp"] == ["20180101"]
