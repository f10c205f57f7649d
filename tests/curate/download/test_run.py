"""Whole downloads from the local web."""

import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import web
from benchmarks.web import BEHAVIOURS, Web
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.download import run
from curate.download.engines.local import LocalEngine
from curate.download.results.journal import Row
from curate.download.web import archive
from curate.download.web.addresses import Resolver
from curate.download.web.fetch import Fetcher
from curate.download.web.outcome import TIMEOUTS, Outcome, Retry
from curate.download.web.settings import Settings
from curate.download.web.transport import Cancellation
from curate.foundation.errors import FewposeError
from curate.importing.importer import import_folder

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

# Every behaviour at once: one run, looked at from many sides.

PER_SITE = 3
_NEIGHBOUR = "neighbour"  # the class of good links that stand beside a misbehaving one
_CLIENT_HANGS_UP = ("endless", "huge", "redirect-endless", "bomb-gzip")  # while it is still being answered


@dataclass(frozen=True)
class Listed:
    key: str
    behaviour: str
    number: int  # unlike any other's
    host: str
    url: str


@dataclass(frozen=True)
class Everything:
    listed: list[Listed]
    place: "Place"
    counts: dict[str, Any]
    seconds: float

    @cached_property
    def causes(self) -> dict[str, str]:
        return self.place.causes

    @cached_property
    def rows(self) -> dict[str, Row]:
        return {url: row for (url, _), row in self.place.rows.items()}

    @cached_property
    def files(self) -> dict[str, bytes]:
        return self.place.files

    def of(self, behaviour: str) -> list[Listed]:
        return [link for link in self.listed if link.behaviour == behaviour]

    def requests(self, link: Listed) -> int:
        """To the host of the link, for it, redirects included."""
        place = re.compile(rf"{re.escape(link.host)}/[^/]+/{link.number}\.jpg(\?.*)?")
        return sum(times for path, times in self.counts["paths"].items() if place.fullmatch(path))


def _listed(served: Web) -> list[Listed]:
    """Each behaviour at two hosts of its own with a good neighbour, and where it can at one that many share."""
    numbers = count(1)

    def link(name: str, host: str, label: str = "") -> Listed:
        number = next(numbers)
        return Listed(f"{label or name}/{number}.jpg", name, number, host, served.url(name, number, host))

    found = []
    for index, (name, behaviour) in enumerate(sorted(served.behaviours().items()), start=1):
        if name == "placeholder":  # one site, enough unrelated links
            found += [link(name, f"127.0.{index}.1", f"removed-{n % 2}") for n in range(6)]
            continue
        for host in (f"127.0.{index}.1", f"127.0.{index}.2"):
            found += [link(name, host), link("good", host, _NEIGHBOUR)]
        if not {behaviour.first, behaviour.last} & TIMEOUTS and not name.startswith(_CLIENT_HANGS_UP):
            found.append(link(name, f"127.1.0.{index % 10 + 1}"))
    return found


@pytest.fixture(scope="session")
def everything(make_place: Callable[[], "Place"]) -> Everything:
    with web.serving() as served:
        listed = _listed(served)
        place = make_place()
        began = time.monotonic()
        place.download({link.key: link.url for link in listed}, per_site=PER_SITE)
        seconds = time.monotonic() - began
        return Everything(listed, place, served.counts(), seconds)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_each_behaviour_ends_with_its_outcome_and_few_requests(everything: Everything, name: str) -> None:
    links = everything.of(name)
    if not links:
        pytest.skip("needs openssl")
    assert {link.key: everything.causes[link.key] for link in links} == {
        link.key: BEHAVIOURS[name].last for link in links
    }
    assert max(everything.requests(link) for link in links) <= BEHAVIOURS[name].requests


def test_nothing_wrong_is_kept_and_nothing_good_is_lost(everything: Everything) -> None:
    good = {link.key: web.content(link.behaviour, link.number) for link in everything.listed if _is_good(link)}
    images = everything.place.collection.images()
    assert dict(zip(images["key"], images["file"], strict=True)) == {key: f"images/{key}" for key in good}
    placeholders = dict.fromkeys((link.key for link in everything.of("placeholder")), web.content("placeholder", 0))
    assert everything.files == good | placeholders
    assert len(good) > 250


def _is_good(link: Listed) -> bool:
    return BEHAVIOURS[link.behaviour].last is Outcome.KEPT


def test_every_link_is_in_one_of_the_tables(everything: Everything) -> None:
    images, rejects = everything.place.collection.images(), everything.place.collection.rejects()
    assert sorted([*images["key"], *rejects["key"]]) == sorted(link.key for link in everything.listed)
    assert images.dtypes.astype(str).to_dict() == COLUMNS
    assert rejects.dtypes.astype(str).to_dict() == REJECT_COLUMNS
    assert set(images["source"]) == {"download"}
    urls = {link.key: link.url for link in everything.listed}
    assert dict(zip(images["key"], images["url"], strict=True)) == {key: urls[key] for key in images["key"]}
    assert (images["bytes"] == [len(everything.files[key]) for key in images["key"]]).all()
    assert (rejects["detail"] != "").all()
    answered = rejects[rejects["cause"] != Outcome.PLACEHOLDER]
    assert (answered["file"] == answered["key"].map(urls)).all()


def test_no_host_is_asked_more_at_once_than_allowed(everything: Everything) -> None:
    most = {host: seen["most_requests"] for host, seen in everything.counts["hosts"].items()}
    assert max(most.values()) <= PER_SITE
    assert len(most) > 150


def test_the_whole_run_ends_soon_after_the_slowest_link(everything: Everything) -> None:
    assert everything.seconds < 40  # three timeouts and two waits take 7.5 s, a deadline 6 s


def test_a_picture_that_would_take_minutes_to_decode_holds_nobody_up(site: Web, place: "Place") -> None:
    links = {f"tree/{number}.jpg": site.url("good", number, f"127.3.{number}.1") for number in range(20)}
    links["tree/bomb.jpg"] = site.url("bomb-scans", 20)
    place.download(links, deadline=5)
    assert place.causes == dict.fromkeys(links, "kept") | {"tree/bomb.jpg": "too much work"}
    assert {row.detail for row in place.rows.values() if row.detail} == {"JPEG with more than 100 scans"}


def test_the_journal_tells_how_each_link_ended(everything: Everything) -> None:
    rows = {link.behaviour: everything.rows[link.url] for link in everything.listed if link.host[4] == "0"}
    assert set(rows) >= set(BEHAVIOURS) - {"tls-self-signed"}
    for name, attempts in {"good": 1, "404": 1, "500": 3, "500-then-good": 2, "drip-body": 1, "stall": 3}.items():
        assert rows[name].attempts == attempts, name
    for name, status in {"good": 200, "404": 404, "410": 410, "500": 500, "html": 200, "reset": 0, "304": 304}.items():
        assert rows[name].status == status, name
    assert "noai" in rows["noai"].robots.lower()
    assert rows["noai-others"].robots == "noindex, googlebot: noai, noimageai"
    assert rows["good"].robots == ""
    assert rows["redirect"].final_url == rows["redirect"].url.replace("/redirect/", "/good/")
    assert "//127.9.9.9:" in rows["redirect-elsewhere"].final_url
    assert (rows["side-63"].width, rows["side-63"].height, rows["side-63"].limit) == (90, 63, 64)
    assert (rows["good"].width, rows["good"].height, rows["good"].format) == (*web.SIZE, "JPEG")
    assert 5.5 < rows["drip-body"].seconds < 20
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", rows["good"].time)


def test_a_placeholder_is_told_from_pictures_that_were_listed_twice(everything: Everything) -> None:
    rejects = everything.place.collection.rejects().set_index("key")
    for link in everything.of("placeholder"):
        assert rejects.loc[link.key, "cause"] == "placeholder"
        assert rejects.loc[link.key, "file"] == f"images/{link.key}"
        assert "unrelated links" in rejects["detail"][link.key]
    same = everything.place.collection.images().groupby("id").size()
    assert (same == 3).any()  # png, gif and the like are one picture under three links, and kept


# Politeness


@pytest.mark.slow
def test_redirects_to_one_site_wait_for_its_turn(slow_site: Web, place: "Place") -> None:
    urls = [slow_site.url("redirect-elsewhere", n, f"127.2.0.{n + 1}") for n in range(30)]
    place.download(keyed(urls), per_site=2, spacing=0.05)
    assert set(place.causes.values()) == {"kept"}
    elsewhere = slow_site.counts()["hosts"]["127.9.9.9"]
    assert elsewhere["most_requests"] <= 2
    starts = elsewhere["starts"]
    assert len(starts) == 30
    assert starts[-1] - starts[0] > 29 * 0.05 - 0.3


@pytest.mark.slow
def test_a_site_is_asked_as_often_and_as_much_at_once_as_allowed(slow_site: Web, place: "Place") -> None:
    place.download(keyed(slow_site.url("good", n) for n in range(40)), per_site=2)
    assert set(place.causes.values()) == {"kept"}
    host = slow_site.counts()["hosts"]["127.0.0.1"]
    assert host["most_requests"] == 2  # as many as it may be: none is left idle


@pytest.mark.slow
def test_a_server_that_says_later_is_left_alone_until_then(site: Web, place: "Place") -> None:
    urls = [site.url("429-then-good", 0), *(site.url("good", n) for n in range(1, 4))]
    others = [site.url("good", n, "127.0.0.2") for n in range(10, 14)]
    place.download(keyed([*urls, *others]), per_site=1)
    assert set(place.causes.values()) == {"kept"}
    starts = site.counts()["hosts"]["127.0.0.1"]["starts"]
    pauses = [later - before for before, later in pairwise(starts)]
    assert len(starts) == 5
    assert max(pauses) >= web.RETRY_AFTER
    elsewhere = site.counts()["hosts"]["127.0.0.2"]["starts"]
    assert elsewhere[-1] - starts[0] < web.RETRY_AFTER  # nobody else waits


@pytest.mark.slow
def test_a_host_that_only_hangs_costs_a_few_requests_and_holds_up_nobody(site: Web, place: "Place") -> None:
    hanging = keyed((site.url("stall", n, "127.3.0.1") for n in range(30)), "hanging")
    good = keyed((site.url("good", n, f"127.3.1.{n % 10 + 1}") for n in range(100, 150)), "good")
    began = time.monotonic()
    place.download(hanging | good, read_timeout=1.0)
    assert time.monotonic() - began < 20
    causes = place.causes
    assert {causes[key] for key in good} == {"kept"}
    assert Counter(causes[key] for key in hanging).keys() == {"stalled", "host set aside"}
    assert Counter(causes[key] for key in hanging)["host set aside"] >= 20
    assert sum(asked(site, "stall").values()) <= 8
    order = [row["outcome"] for row in place.journal]
    assert order[:50] == ["kept"] * 50  # before anything was given up
    rejects = place.collection.rejects().set_index("key")
    aside = rejects[rejects["cause"] == "host set aside"]
    assert aside["detail"].str.contains("127.3.0.1").all()


# The same command again


def test_a_second_run_asks_nothing_and_leaves_the_same_bytes(site: Web, place: "Place") -> None:
    links = keyed(
        site.url(name, n, f"127.0.0.{n % 5 + 1}") for n, name in enumerate(["good", "png", "404", "html"] * 5)
    )
    first = place.download(links)
    assert (first.asked, first.kept, first.known, first.left) == (20, 10, 0, 0)
    tables, journal = place.tables, place.journal
    site.reset()
    second = place.download(links)
    assert (second.asked, second.kept, second.known, second.left) == (0, 0, 20, 0)
    assert asked(site) == {}
    assert (place.tables, place.journal) == (tables, journal)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("retry", "again"),
    [(Retry.TRANSIENT, {"500"}), (Retry.ALL, {"404", "500", "html"}), (Retry.NONE, set())],
)
def test_the_next_run_asks_again_what_it_is_told_to(site: Web, place: "Place", retry: Retry, again: set[str]) -> None:
    links = keyed(site.url(name, n) for n, name in enumerate(["good", "404", "500", "html"]))
    place.download(links, attempts=1)
    tables = place.tables
    site.reset()
    summary = place.download(links, attempts=1, retry=retry)
    assert {path.split("/")[1] for path in asked(site)} == again
    assert (summary.asked, summary.known) == (len(again), 4 - len(again))
    assert place.tables == tables


@pytest.mark.slow
def test_what_was_only_passing_is_kept_the_next_time(site: Web, place: "Place") -> None:
    links = keyed([site.url("503-then-good", 1), site.url("good", 2)])
    assert place.download(links, attempts=1).kept == 1
    assert Counter(place.causes.values()) == {"kept": 1, "server error": 1}
    assert place.download(links, attempts=1).kept == 1
    assert set(place.causes.values()) == {"kept"}
    assert len(place.collection.rejects()) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before", "now"),
    [
        ("side-63", {"min_side": 64}, {"min_side": 60}),
        ("good", {"max_bytes": 1_000}, {}),
        ("good", {"max_pixels": 1_000}, {}),
        ("noai", {}, {"ignore_noai": True}),
    ],
    ids=["min_side", "max_bytes", "max_pixels", "ignore_noai"],
)
def test_a_limit_that_was_loosened_is_a_reason_to_ask_again(
    site: Web, place: "Place", name: str, before: dict[str, Any], now: dict[str, Any]
) -> None:
    links = keyed([site.url(name, 1), site.url("404", 2), site.url("gif-1x1", 3), site.url("noimageai-ours", 4)][:3])
    place.download(links, **before)
    assert "kept" not in place.causes.values()
    site.reset()
    place.download(links, **before)
    assert asked(site) == {}
    summary = place.download(links, **now)
    assert asked(site) == {f"127.0.0.1/{name}/1.jpg": 1}
    assert (summary.asked, summary.kept) == (1, 1)


def test_addresses_that_were_blocked_are_asked_when_they_are_allowed(site: Web, place: "Place") -> None:
    links = keyed(site.url("good", n, f"127.0.0.{n + 1}") for n in range(3))
    place.download(links, allow_private=False)
    assert set(place.causes.values()) == {"blocked address"}
    assert asked(site) == {}
    place.download(links)
    assert set(place.causes.values()) == {"kept"}


@pytest.mark.slow
def test_a_file_that_was_deleted_is_fetched_again(site: Web, place: "Place") -> None:
    links = keyed(site.url("good", n) for n in range(3))
    place.download(links)
    tables, files = place.tables, place.files
    lost = place.root / "images" / next(iter(links))
    lost.unlink()
    site.reset()
    assert place.download(links).asked == 1
    assert asked(site) == {"127.0.0.1/good/0.jpg": 1}
    assert (place.tables, place.files) == (tables, files)


def test_a_link_that_is_listed_twice_is_asked_once_and_has_both_files(site: Web, place: "Place") -> None:
    url = site.url("good", 7)
    links = {"tree/1.jpg": url, "plank/2.jpg": url, "tree/3.jpg": site.url("good", 8)}
    assert place.download(links).asked == 2
    assert asked(site, "good/7") == {"127.0.0.1/good/7.jpg": 1}
    assert place.files == {"tree/1.jpg": web.picture(7), "plank/2.jpg": web.picture(7), "tree/3.jpg": web.picture(8)}
    images = place.collection.images()
    assert list(images["label"]) == ["plank", "tree", "tree"]
    tables = place.tables
    (place.root / "images/tree/1.jpg").unlink()
    site.reset()
    place.download(links)
    assert asked(site) == {}  # its twin has the bytes
    assert (place.root / "images/tree/1.jpg").read_bytes() == web.picture(7)
    assert place.tables == tables


def test_a_changed_list_adds_relabels_and_asks_what_is_new(site: Web, place: "Place") -> None:
    listed = "url,key,label\n{a},1.jpg,tree\n{b},2.jpg,tree\n"
    urls = {name: site.url("good", n) for n, name in enumerate("abcd")}
    source = place.folder / "links.csv"

    def go(text: str) -> dict[str, tuple[str, str]]:
        source.write_text(text.format(**urls))
        site.reset()
        run.download(source, place.root, settings=Settings(allow_private=True, spacing=0.0))
        images = place.collection.images()
        return dict(zip(images["key"], zip(images["label"], images["url"], strict=True), strict=True))

    assert go(listed) == {"1.jpg": ("tree", urls["a"]), "2.jpg": ("tree", urls["b"])}
    found = go("url,key,label\n{a},1.jpg,plank\n{c},2.jpg,tree\n{d},3.jpg,tree\n")
    assert found == {"1.jpg": ("plank", urls["a"]), "2.jpg": ("tree", urls["c"]), "3.jpg": ("tree", urls["d"])}
    assert asked(site) == {"127.0.0.1/good/2.jpg": 1, "127.0.0.1/good/3.jpg": 1}
    images = place.collection.images().set_index("key")
    assert (place.root / images["file"]["2.jpg"]).read_bytes() == web.picture(2)


@pytest.mark.slow
def test_links_of_an_earlier_list_stay(site: Web, place: "Place") -> None:
    place.download({"tree/1.jpg": site.url("good", 1), "tree/2.jpg": site.url("404", 2)})
    place.download({"plank/1.jpg": site.url("good", 3)})
    assert place.causes == {"tree/1.jpg": "kept", "tree/2.jpg": "not found", "plank/1.jpg": "kept"}
    assert list(place.collection.images()["key"]) == ["plank/1.jpg", "tree/1.jpg"]
    assert list(place.collection.rejects()["key"]) == ["tree/2.jpg"]


def test_an_imported_image_keeps_its_key(site: Web, place: "Place", tmp_path: Path) -> None:
    photo = tmp_path / "photos/good/000.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(web.picture(99))
    import_folder(tmp_path / "photos", place.root)
    summary = place.download({"good/000.jpg": site.url("good", 0), "good/001.jpg": site.url("good", 1)})
    assert (summary.imported, summary.asked, summary.kept) == (1, 1, 1)
    assert asked(site) == {"127.0.0.1/good/1.jpg": 1}
    images = place.collection.images()
    assert list(zip(images["key"], images["source"], strict=True)) == [
        ("good/000.jpg", "import"),
        ("good/001.jpg", "download"),
    ]
    assert place.files["good/000.jpg"] == web.picture(99)


# Cut short


@pytest.mark.slow
def test_no_time_makes_the_tables_of_what_is_there(site: Web, place: "Place") -> None:
    links = keyed(site.url(name, n) for n, name in enumerate(["good", "404"] * 5))
    place.download(links)
    journal = place.root / "downloads.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:-10])  # two links did not come to their end
    for table in ("images.parquet", "rejects.parquet"):
        (place.root / table).unlink()
    site.reset()
    summary = place.download(links, minutes=0)
    assert (summary.asked, summary.left, summary.known) == (0, 2, 8)
    assert asked(site) == {}
    assert Counter(place.causes.values())["waiting"] == 2
    assert len(place.collection.images()) + len(place.collection.rejects()) == 8
    assert place.download(links).asked == 2
    assert Counter(place.causes.values()) == {"kept": 5, "not found": 5}


@pytest.mark.slow
def test_when_the_time_is_up_nobody_is_asked_any_more(site: Web, place: "Place") -> None:
    links = keyed([*(site.url("good", n) for n in range(3)), site.url("stall", 9, "127.0.0.2")])
    began = time.monotonic()
    summary = place.download(links, minutes=1.5 / 60, read_timeout=30.0, deadline=60.0)
    assert time.monotonic() - began < 10
    assert (summary.asked, summary.kept, summary.left) == (3, 3, 1)
    assert Counter(place.causes.values()) == {"kept": 3, "waiting": 1}


def test_a_damaged_line_of_the_journal_is_said_and_its_link_asked_again(
    site: Web, place: "Place", capsys: pytest.CaptureFixture[str]
) -> None:
    links = keyed(site.url("404", n) for n in range(3))
    place.download(links)
    tables = place.tables
    journal = place.root / "downloads.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], lines[1].replace("{", "[", 1), lines[2]]))
    site.reset()
    capsys.readouterr()
    assert place.download(links).asked == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "downloads.jsonl" in said
    assert "1 damaged line" in said
    assert place.tables == tables


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["a damaged line", "cut off", "deleted"])
def test_a_picture_whose_line_of_the_journal_is_lost_stays_though_its_link_is_dead_now(
    site: Web, place: "Place", capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    links = keyed([*(site.url("good", n) for n in range(4)), site.url("404", 5)])
    place.download(links)
    images = place.collection.images()
    journal = place.root / "downloads.jsonl"
    whole = journal.read_bytes()
    lost = next(n for n, line in enumerate(whole.splitlines()) if b'"outcome":"kept"' in line)
    lines = whole.splitlines(keepends=True)
    match harm:
        case "a damaged line":
            journal.write_bytes(b"".join([*lines[:lost], lines[lost].replace(b"JPEG", b"JPFG"), *lines[lost + 1 :]]))
        case "cut off":
            journal.write_bytes(whole[: len(lines[0]) + 30])
        case "deleted":
            journal.unlink()
    site.reset()
    capsys.readouterr()
    assert list(place.causes.values()).count("kept") == 4  # before anything is mended
    assert "downloads.jsonl" in " ".join(capsys.readouterr().err.split())
    place.download(links, minutes=0)
    assert place.collection.images().equals(images)
    said = " ".join(capsys.readouterr().err.split())
    assert "downloads.jsonl" in said
    assert "taken from the image table, what else stood there is asked again" in said
    place.download(links)
    assert set(place.causes.values()) == {"kept", "not found"}
    assert place.collection.images().equals(images)


@pytest.mark.parametrize("name", ["images.parquet", "rejects.parquet", "links.parquet"])
def test_a_damaged_table_of_a_download_is_made_again_as_is_said(site: Web, place: "Place", name: str) -> None:
    links = keyed([*(site.url("good", n) for n in range(4)), site.url("404", 5)])
    place.download(links)
    tables = place.tables
    path = place.root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    site.reset()
    with pytest.raises(FewposeError, match=rf"{name} is damaged .*delete it and give"):
        place.download(links)
    path.unlink()
    assert place.download(links).asked == 0
    assert place.tables == tables


def test_a_list_that_was_deleted_is_missed(site: Web, place: "Place", capsys: pytest.CaptureFixture[str]) -> None:
    place.download(keyed([site.url("good", 0)]))
    (place.root / "links.parquet").unlink()
    capsys.readouterr()
    assert place.causes == {}
    assert "links.parquet is missing: which links there were is not known; give curate download" in " ".join(
        capsys.readouterr().err.split()
    )


# When it is not the web


def _offline(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def _without_names(settings: Settings) -> LocalEngine[Cancellation]:
    """An engine that finds no name, and every number."""
    fetcher = Fetcher(settings, Resolver(allow_private=True, lookup=_offline))
    return LocalEngine(partial(archive.fetch, fetcher), Cancellation, settings)


def test_a_machine_that_is_offline_is_said_to_be_and_no_link_is_given_up(place: "Place") -> None:
    links = keyed(f"http://host{n}.invalid/{n}.jpg" for n in range(25))
    with pytest.raises(FewposeError, match="is this machine online") as caught:
        place.download(links, make_engine=_without_names)
    assert caught.value.exit_code == 1
    assert len(Collection.open(place.root).images()) == 0


@pytest.mark.slow
def test_dead_names_on_a_list_are_no_reason_to_stop_while_others_answer(site: Web, place: "Place") -> None:
    good = [site.url("good", n) for n in range(20)]  # one site of many links, which is asked early whatever the order
    links = keyed([*good, *(f"http://host{n}.invalid/{n}.jpg" for n in range(25))])
    place.download(links, connections=1, attempts=1, make_engine=_without_names)
    assert Counter(place.causes.values()) == {"kept": 20, "name lookup failed": 25}


def test_a_place_that_cannot_be_written_is_one_sentence(site: Web, place: "Place") -> None:
    source = place.write(keyed([site.url("good", 0)]))
    with pytest.raises(FewposeError, match="cannot write") as caught:
        run.download(source, Path("/proc/collection"), settings=Settings(allow_private=True))
    assert "\n" not in str(caught.value)


# What the tests here share


def keyed(urls: Any, label: str = "") -> dict[str, str]:
    """Keys for links; the class is the behaviour, unless it is given."""
    return {f"{label or url.split('/')[3]}/{n:03}.jpg": url for n, url in enumerate(urls)}


def asked(site: Web, part: str = "") -> dict[str, int]:
    """How often each link was asked for: {HOST/behaviour/number.jpg: times}; those that hold `part`."""
    return {path: times for path, times in site.counts()["paths"].items() if part in path}
