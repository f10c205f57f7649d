"""What has become of every link, whenever it is asked."""

import random
from pathlib import Path

import pandas as pd
import pytest

from curate.collection.directory import Collection
from curate.download.lists.links import Link
from curate.download.results import pending
from curate.download.results.journal import Journal, Row
from curate.download.results.progress import KEPT, WAITING, Class, Host, Progress, link_states
from curate.download.web.outcome import Outcome


def listed(collection: Collection, *keys: str, host: str = "www.x.org") -> None:
    """Links to host/KEY, under the label that their key starts with."""
    links = [Link(key, key.partition("/")[0], f"http://{host}/{key}", "", "list.txt", 1) for key in keys]
    pending.remember(collection, links)


def row(url: str, outcome: Outcome, via: str = "") -> Row:
    return Row(url=url, outcome=outcome, via=via, status=200, final_url=url)


def answered(collection: Collection, *rows: Row) -> None:
    with Journal.open(collection.root / "downloads.jsonl") as journal:
        for one in rows:
            journal.append(one)


def rejected(collection: Collection, **causes: str) -> None:
    """KEY=cause, with "/" for the first "_"."""
    rows = [(key.replace("_", "/", 1) + ".jpg", cause, "", "") for key, cause in causes.items()]
    collection.write(collection.images(), pd.DataFrame(rows, columns=["key", "cause", "detail", "file"]))


def causes(collection: Collection) -> dict[str, str]:
    table = link_states(collection)
    return dict(zip(table["key"], table["cause"], strict=True))


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "c")


def test_nothing_was_ever_listed(collection: Collection) -> None:
    assert link_states(collection).empty
    assert Progress.of(collection) == Progress(0, 0, 0, 0, [], [], [])


def test_every_link_has_its_host_and_site(collection: Collection) -> None:
    listed(collection, "tree/1.jpg", host="thumb7.shutterstock.com")
    assert link_states(collection).to_dict("records") == [
        {
            "key": "tree/1.jpg",
            "label": "tree",
            "url": "http://thumb7.shutterstock.com/tree/1.jpg",
            "host": "thumb7.shutterstock.com",
            "site": "thumb.shutterstock.com",
            "cause": WAITING,
        }
    ]


def test_a_link_without_an_answer_waits_and_the_others_are_as_the_journal_says(collection: Collection) -> None:
    listed(collection, "tree/1.jpg", "tree/2.jpg", "tree/3.jpg")
    answered(
        collection,
        row("http://www.x.org/tree/1.jpg", Outcome.KEPT),
        row("http://www.x.org/tree/2.jpg", Outcome.NOT_FOUND),
    )
    assert causes(collection) == {"tree/1.jpg": KEPT, "tree/2.jpg": "not found", "tree/3.jpg": WAITING}


def test_the_last_answer_counts(collection: Collection) -> None:
    listed(collection, "tree/1.jpg")
    for outcome in (Outcome.STALLED, Outcome.SERVER_ERROR, Outcome.KEPT):
        answered(collection, row("http://www.x.org/tree/1.jpg", outcome))
        assert causes(collection) == {"tree/1.jpg": str(outcome)}


def test_one_url_under_two_keys_stands_twice(collection: Collection) -> None:
    url = "http://x.org/1.jpg"
    pending.remember(collection, [Link(key, key[:1], url, "", "list.txt", 1) for key in ("a/1.jpg", "b/1.jpg")])
    answered(collection, row(url, Outcome.KEPT))
    assert causes(collection) == {"a/1.jpg": KEPT, "b/1.jpg": KEPT}


@pytest.mark.parametrize(
    ("link", "copy", "cause"),
    [
        (Outcome.GONE, Outcome.KEPT, KEPT),
        (Outcome.KEPT, Outcome.NOT_ARCHIVED, KEPT),
        (Outcome.GONE, Outcome.NOT_ARCHIVED, "gone"),
    ],
)
def test_a_link_is_kept_if_it_or_its_archived_copy_is(
    collection: Collection, link: Outcome, copy: Outcome, cause: str
) -> None:
    url = "http://www.x.org/tree/1.jpg"
    listed(collection, "tree/1.jpg")
    answered(collection, row(url, link), row(url, copy, "archive"))
    assert causes(collection) == {"tree/1.jpg": cause}


def test_the_tables_know_placeholders_and_keys_that_are_no_files(collection: Collection) -> None:
    listed(collection, "tree/1.jpg", "tree/2.jpg", "tree/3.jpg")
    rejected(collection, tree_1="placeholder", tree_2="cannot be stored", tree_3="not found")
    answered(collection, *(row(f"http://www.x.org/tree/{n}.jpg", Outcome.KEPT) for n in (1, 2, 3)))
    # The journal is newer than the table: 3 was found after all.
    assert causes(collection) == {"tree/1.jpg": "placeholder", "tree/2.jpg": "cannot be stored", "tree/3.jpg": KEPT}


def test_a_link_that_was_refused_before_it_was_asked_does_not_wait(collection: Collection) -> None:
    listed(collection, "tree/1.jpg")
    rejected(collection, tree_1="bad link")
    assert causes(collection) == {"tree/1.jpg": "bad link"}


def test_the_key_of_an_imported_image_is_not_counted(collection: Collection) -> None:
    listed(collection, "tree/1.jpg", "tree/2.jpg")
    texts = dict.fromkeys(collection.images().columns, "") | {"key": "tree/1.jpg", "label": "tree", "source": "import"}
    image = {**texts, "id": "0" * 64, "width": 1, "height": 1, "frames": 1, "bytes": 1}
    collection.write(pd.DataFrame([image]), collection.rejects())
    assert causes(collection) == {"tree/2.jpg": WAITING}


def test_counts_by_cause_class_and_host(collection: Collection) -> None:
    listed(collection, *(f"tree/{n}.jpg" for n in range(6)), host="x.org")
    listed(collection, "plank/1.jpg", "plank/2.jpg", host="y.net:8080")
    listed(collection, "lotus/1.jpg", host="z.com")
    outcomes = [Outcome.KEPT, *[Outcome.NOT_FOUND] * 2, Outcome.GONE, Outcome.GONE]
    answered(
        collection,
        *(row(f"http://x.org/tree/{n}.jpg", outcome) for n, outcome in enumerate(outcomes)),
        row("http://y.net:8080/plank/1.jpg", Outcome.STALLED),
        row("http://z.com/lotus/1.jpg", Outcome.KEPT),
    )
    found = Progress.of(collection)
    assert (found.links, found.kept, found.waiting, found.dropped) == (9, 2, 2, 5)
    assert [(cause.cause, cause.count, cause.first) for cause in found.causes] == [
        ("gone", 2, ["tree/3.jpg", "tree/4.jpg"]),
        ("not found", 2, ["tree/1.jpg", "tree/2.jpg"]),
        ("stalled", 1, ["plank/1.jpg"]),
    ]
    assert found.classes == [
        Class("lotus", 1, 1, 0, 0),
        Class("plank", 2, 0, 1, 1),
        Class("tree", 6, 1, 1, 4),
    ]
    assert found.hosts == [
        Host("x.org", 6, 1, 4, "gone"),
        Host("y.net:8080", 2, 0, 1, "stalled"),
        Host("z.com", 1, 1, 0, ""),
    ]
    assert [one.label for one in found.below(1)] == ["plank"]
    assert [one.label for one in found.below(2)] == ["plank", "lotus", "tree"]


@pytest.mark.slow
def test_a_hundred_thousand_links_add_up(collection: Collection) -> None:
    chance = random.Random(0)
    urls = [f"http://h{n % 4000}.org/{n}.jpg" for n in range(100_000)]
    labels = [f"c{n % 82}" for n in range(len(urls))]
    keys = [f"{label}/{n}.jpg" for n, label in enumerate(labels)]
    table = pd.DataFrame({"key": keys, "label": labels, "url": urls}, dtype="str")
    table.assign(official_split="").to_parquet(collection.root / "links.parquet")
    answered(collection, *(row(url, chance.choice([Outcome.KEPT, Outcome.GONE])) for url in urls[::2]))
    found = Progress.of(collection)
    assert (found.links, found.waiting, len(found.classes), len(found.hosts)) == (100_000, 50_000, 82, 4000)
    assert found.kept + found.dropped == 50_000
    assert sum(host.dropped for host in found.hosts) == sum(one.dropped for one in found.classes) == found.dropped
