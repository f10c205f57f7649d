from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.collection.directory import Collection
from curate.download.lists.links import Link
from curate.download.results import pending
from curate.download.results.journal import Row
from curate.download.web import archive
from curate.download.web.job import Job
from curate.download.web.outcome import FAILED, LOST, TRANSIENT, Outcome, Retry
from curate.download.web.settings import Settings

URL = "http://x.org/1.jpg"
ENDPOINT = "https://archive.example/available"


def link(key: str, url: str = URL, label: str = "tree", split: str = "") -> Link:
    return Link(key, label, url, split, "links.txt", 1)


def targets(
    outcome: Outcome | None, copy: Outcome | None = None, retry: Retry = Retry.TRANSIENT, **settings: Any
) -> Any:
    """What is asked for a link that had these answers, whose bytes are not there."""
    rows = {(URL, via): Row(URL, found, via) for via, found in (("", outcome), ("archive", copy)) if found}
    return [(job.target, job.via) for job in pending.jobs([URL], rows, Settings(**settings), retry)]


DIRECT = [(URL, "")]
ARCHIVED = [(archive.job(URL, ENDPOINT).target, "archive")]


# The lists


def test_what_was_listed_is_remembered_in_order_of_keys(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path)
    assert pending.listed(collection).empty
    pending.remember(collection, [link("b.jpg", split="test"), link("a.jpg")])
    table = pending.listed(collection)
    assert list(table["key"]) == ["a.jpg", "b.jpg"]
    assert list(table.columns) == list(pending.COLUMNS)
    assert list(table["official_split"]) == ["", "test"]


def test_a_key_that_is_listed_anew_counts_as_it_is_listed_now_and_others_stay(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path)
    pending.remember(collection, [link("a.jpg"), link("b.jpg")])
    pending.remember(collection, [link("b.jpg", "http://y.org/2.jpg", "plank"), link("c.jpg")])
    table = pending.listed(collection)
    assert list(table["key"]) == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(table["label"]) == ["tree", "plank", "tree"]
    assert list(table["url"]) == [URL, "http://y.org/2.jpg", URL]


def test_the_same_list_again_writes_nothing(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path)
    pending.remember(collection, [link("a.jpg")])
    before = (tmp_path / "links.parquet").stat()
    pending.remember(collection, [link("a.jpg")])
    assert (tmp_path / "links.parquet").stat().st_ino == before.st_ino


# What is asked


def test_a_link_without_an_answer_is_asked_and_so_is_one_whose_bytes_are_gone() -> None:
    for retry in Retry:
        assert targets(None, retry=retry) == DIRECT
        assert targets(Outcome.KEPT, retry=retry) == DIRECT


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.KEPT}))
def test_an_answer_is_final_unless_it_may_pass(outcome: Outcome) -> None:
    strict = Settings(max_bytes=1, max_pixels=1, min_side=1000)  # no limit was loosened
    assert targets(outcome, retry=Retry.ALL) == DIRECT
    assert targets(outcome, retry=Retry.NONE) == []
    row = Row(URL, outcome, width=10, height=10, limit=1)
    assert pending.worth_asking(row, strict, Retry.TRANSIENT) == (outcome in TRANSIENT)


@pytest.mark.parametrize(
    ("row", "loose", "strict"),
    [
        (Row(URL, Outcome.TOO_LARGE, limit=1000), {"max_bytes": 1001}, {"max_bytes": 1000}),
        (
            Row(URL, Outcome.TOO_MANY_PIXELS, width=200, height=100, limit=500),
            {"max_pixels": 20_000},
            {"max_pixels": 19_999},
        ),
        (Row(URL, Outcome.TOO_SMALL, width=90, height=63, limit=64), {"min_side": 63}, {"min_side": 64}),
        (Row(URL, Outcome.OPTED_OUT), {"ignore_noai": True}, {}),
        (Row(URL, Outcome.BLOCKED_ADDRESS), {"allow_private": True}, {}),
    ],
    ids=lambda value: str(value.outcome) if isinstance(value, Row) else "",
)
def test_a_limit_counts_as_loosened_where_the_link_would_pass(
    row: Row, loose: dict[str, Any], strict: dict[str, Any]
) -> None:
    assert pending.worth_asking(row, Settings(**loose), Retry.TRANSIENT)
    assert not pending.worth_asking(row, Settings(**strict), Retry.TRANSIENT)
    assert not pending.worth_asking(row, Settings(**loose), Retry.NONE)


def test_a_picture_of_unknown_size_that_was_too_large_is_asked_when_more_is_allowed() -> None:
    row = Row(URL, Outcome.TOO_MANY_PIXELS, limit=500)
    assert pending.worth_asking(row, Settings(max_pixels=501), Retry.TRANSIENT)
    assert not pending.worth_asking(row, Settings(max_pixels=500), Retry.TRANSIENT)


@pytest.mark.parametrize("outcome", sorted(LOST - {Outcome.PLACEHOLDER}))
def test_an_archive_is_asked_for_what_is_lost_if_it_is_wanted(outcome: Outcome) -> None:
    assert targets(outcome) == []
    assert targets(outcome, archive=ENDPOINT) == ARCHIVED


def test_an_archive_is_asked_once_and_again_only_if_that_may_help() -> None:
    lost = Outcome.NOT_FOUND
    assert targets(lost, Outcome.NOT_ARCHIVED, archive=ENDPOINT) == []
    assert targets(lost, Outcome.THROTTLED, archive=ENDPOINT) == ARCHIVED
    assert targets(lost, Outcome.THROTTLED, Retry.NONE, archive=ENDPOINT) == []
    assert targets(lost, Outcome.NOT_ARCHIVED, Retry.ALL, archive=ENDPOINT) == DIRECT


def test_an_archive_is_not_asked_for_what_is_there() -> None:
    assert targets(Outcome.FORBIDDEN, archive=ENDPOINT) == []
    assert targets(Outcome.SERVER_ERROR, archive=ENDPOINT) == DIRECT


def test_the_copy_that_was_kept_is_asked_for_when_its_bytes_are_gone() -> None:
    assert targets(Outcome.NOT_FOUND, Outcome.KEPT, archive=ENDPOINT) == ARCHIVED
    assert targets(Outcome.KEPT, Outcome.KEPT, archive=ENDPOINT) == ARCHIVED  # the link itself gave a placeholder
    assert targets(Outcome.NOT_FOUND, Outcome.KEPT) == []


def test_loosening_holds_for_archived_copies_too() -> None:
    rows = {
        (URL, ""): Row(URL, Outcome.GONE),
        (URL, "archive"): Row(URL, Outcome.TOO_LARGE, "archive", limit=1000),
    }
    settings = Settings(archive=ENDPOINT, max_bytes=1000)
    assert list(pending.jobs([URL], rows, settings, Retry.TRANSIENT)) == []
    assert len(list(pending.jobs([URL], rows, replace(settings, max_bytes=2000), Retry.TRANSIENT))) == 1


# In which order


def numbered(count: int) -> list[Job]:
    return [Job(url, url) for url in (f"http://x.org/{number}.jpg" for number in range(count))]


def test_each_run_asks_in_an_order_of_its_own() -> None:
    some = numbered(40)
    orders = [pending.in_turn(some, {}, run) for run in range(5)]
    assert all(sorted(order, key=some.index) == some for order in orders)
    assert len({tuple(order) for order in [*orders, some]}) == 6
    assert len({order[0] for order in orders}) > 1
    assert pending.in_turn(reversed(some), {}, 3) == orders[3]


def test_what_failed_in_an_earlier_run_is_asked_last_and_marked() -> None:
    outcomes = [Outcome.HOST_ASIDE, Outcome.KEPT, *sorted(FAILED)]
    some = numbered(len(outcomes) + 5)
    rows = {(job.url, ""): Row(job.url, outcome) for job, outcome in zip(some, outcomes, strict=False)}
    order = pending.in_turn(some, rows, 1)
    failed = {job.url for job in some[2 : len(outcomes)]}
    assert {job.url for job in order[7:]} == failed
    assert {job.url for job in order if job.failed_before} == failed


def test_of_a_copy_in_an_archive_the_archive_s_answer_counts() -> None:
    rows = {(URL, ""): Row(URL, Outcome.STALLED), (URL, archive.VIA): Row(URL, Outcome.THROTTLED, archive.VIA)}
    job = archive.job(URL, ENDPOINT)
    assert pending.in_turn([job], rows, 1)[0].failed_before
    del rows[URL, archive.VIA]
    assert not pending.in_turn([job], rows, 1)[0].failed_before
