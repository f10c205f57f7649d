"""Tags become entries of the ledger: once, and never against what a person undid."""

import shutil
from collections.abc import Sequence
from typing import Any

import pytest

from curate.app import sync
from curate.app.dataset import build, refresh
from curate.collection import decisions
from curate.collection.directory import Collection
from curate.collection.ledger import Action, Ledger
from curate.collection.merging import merge
from curate.importing.importer import import_folder
from tests.curate.app.conftest import checked

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_database")]


@pytest.fixture
def dataset(collection: Collection) -> Any:
    return build(collection)


def tag(dataset: Any, key: str, *tags: str) -> None:
    dataset.match({"key": key}).tag_samples(list(tags))


def tags(dataset: Any, key: str) -> list[str]:
    return list(dataset.one({"key": key}).tags)


def synced(dataset: Any, collection: Collection) -> Sequence[tuple[str, str, str]]:
    entries = sync.take(dataset, collection, sync.diff(dataset, collection))
    assert all(entry.by == "sync" for entry in entries)
    return sorted((entry.key, str(entry.action), entry.label or entry.reason) for entry in entries)


def test_tags_become_entries_and_go(dataset: Any, collection: Collection) -> None:
    tag(dataset, "tree/1.png", "drop:two people", "look again")
    tag(dataset, "tree/0.png", "keep")
    tag(dataset, "boat/1.png", "Relabel: tree", "keep")
    assert synced(dataset, collection) == [
        ("boat/1.png", "keep", ""),
        ("boat/1.png", "relabel", "tree"),
        ("tree/0.png", "keep", ""),
        ("tree/1.png", "drop", "two people"),
    ]
    assert tags(dataset, "tree/1.png") == ["look again"]
    assert tags(dataset, "boat/1.png") == tags(dataset, "tree/0.png") == []
    dropped = dataset.one({"key": "tree/1.png"})
    assert (dropped.verdict, dropped.reason, dropped.filtered) == ("drop", "two people", False)
    assert dataset.one({"key": "boat/1.png"}).label.label == "tree"


def test_what_people_disagree_on_is_shown_and_a_tag_settles_it(dataset: Any, collection: Collection) -> None:
    decisions.drop(collection, ["tree/1.png"], who="Ann")
    path = Ledger(collection).path
    theirs = path.rename(path.with_name("ann.jsonl"))
    decisions.keep(collection, ["tree/1.png"], who="Bob")
    merge(collection, [theirs])
    refresh(dataset, collection)
    stored = dataset.match({"key": "tree/1.png"})  # a sample that is held keeps its values
    assert stored.values(["verdict", "reason"]) == (["disputed"], ["disputed: drop by Ann, keep by Bob"])
    tag(dataset, "tree/1.png", "drop:two people")
    assert synced(dataset, collection) == [("tree/1.png", "drop", "two people")]
    assert not Ledger(collection).state().disputed
    assert stored.values(["verdict", "reason"]) == (["drop"], ["two people"])


def test_a_diff_alone_changes_nothing(dataset: Any, collection: Collection) -> None:
    tag(dataset, "tree/1.png", "drop")
    assert [(wish.key, wish.action) for wish in sync.diff(dataset, collection).new] == [("tree/1.png", Action.DROP)]
    assert tags(dataset, "tree/1.png") == ["drop"]
    assert Ledger(collection).entries == []


def test_what_was_undone_after_a_sync_stays_undone(dataset: Any, collection: Collection) -> None:
    tag(dataset, "tree/1.png", "drop")
    synced(dataset, collection)
    decisions.undo(collection, last=1)
    assert synced(dataset, collection) == []
    assert Ledger(collection).state().verdict == {}


def test_a_sync_that_was_killed_before_it_removed_the_tags_writes_no_entry_twice(
    dataset: Any, collection: Collection
) -> None:
    tag(dataset, "tree/1.png", "drop")
    decisions.drop(collection, ["tree/1.png"], by="sync")
    assert sync.diff(dataset, collection).new == []
    assert synced(dataset, collection) == []
    assert tags(dataset, "tree/1.png") == []
    assert len(Ledger(collection).entries) == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("drop", "keep"), "drop and keep"),
        (("relabel:tree", "relabel:boat"), "several labels"),
        (("relabel",), "needs a label"),
        (("relabel: ",), "needs a label"),
        (("relabel:tee",), "no image has the label 'tee'"),
    ],
)
def test_what_cannot_be_meant_stays_a_tag_and_is_named(
    dataset: Any, collection: Collection, given: tuple[str, ...], why: str
) -> None:
    tag(dataset, "boat/0.png", *given)
    tag(dataset, "tree/1.png", "drop")
    [refused] = sync.diff(dataset, collection).refused
    assert refused.key == "boat/0.png"
    assert why in refused.why
    assert synced(dataset, collection) == [("tree/1.png", "drop", "")]
    assert sorted(tags(dataset, "boat/0.png")) == sorted(given)


def test_other_tags_are_the_persons_own(dataset: Any, collection: Collection) -> None:
    tag(dataset, "tree/1.png", "dropped", "keepsake", "to keep", "label:tree")
    difference = sync.diff(dataset, collection)
    assert (difference.wishes, difference.refused, difference.tags) == ([], [], {})


@pytest.mark.slow
def test_copies_are_one_picture(collection: Collection) -> None:
    photos = collection.root.with_name("photos")
    shutil.copy(photos / "tree" / "1.png", photos / "tree" / "copy.png")
    import_folder(photos, collection.root, workers=1)
    dataset = build(checked(collection))
    tag(dataset, "tree/1.png", "drop:blurred")
    tag(dataset, "tree/copy.png", "drop:dark")
    assert synced(dataset, collection) == [("tree/1.png", "drop", "blurred; dark")]
    assert tags(dataset, "tree/copy.png") == []
    tag(dataset, "tree/1.png", "drop")
    tag(dataset, "tree/copy.png", "keep")
    assert [refused.key for refused in sync.diff(dataset, collection).refused] == ["tree/1.png"]
