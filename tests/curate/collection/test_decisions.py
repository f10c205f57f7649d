"""What people may decide, by which names, and what is refused."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from curate.collection import decisions
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.ledger import Entry, Ledger
from curate.collection.sets import labelled
from curate.foundation.errors import UsageError


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Six images of three labels; tree/2 and tree/copy are the same bytes."""
    made = Collection.create(tmp_path / "c")
    keys = ["boat/1.jpg", "plank/1.jpg", "plank/2.jpg", "tree/1.jpg", "tree/2.jpg", "tree/copy.jpg"]
    rows = [
        {name: "" if kind == "str" else 1 for name, kind in COLUMNS.items()}
        | {"key": key, "id": content(key.replace("copy", "2")), "label": key.split("/")[0]}
        for key in keys
    ]
    made.write(pd.DataFrame(rows), pd.DataFrame(columns=list(REJECT_COLUMNS)))
    return made


def verdicts(collection: Collection) -> dict[str, str]:
    """By key."""
    state, images = Ledger(collection).state(), collection.images()
    return {key: state.verdict[id] for key, id in zip(images["key"], images["id"], strict=True) if id in state.verdict}


def labels(collection: Collection) -> dict[str, str]:
    images = labelled(collection)
    return dict(zip(images["key"], images["label"], strict=True))


def test_a_decision_is_an_entry_with_all_that_was_said(collection: Collection) -> None:
    (entry,) = decisions.drop(collection, ["tree/1.jpg"], reason="two people", who="Ann", by="app")
    assert (entry.action, entry.id, entry.key) == ("drop", content("tree/1.jpg"), "tree/1.jpg")
    assert (entry.reason, entry.who, entry.by) == ("two people", "Ann", "app")
    assert Ledger(collection).entries == [entry]


def test_without_a_name_it_is_the_user_s(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    assert [entry.who for entry in decisions.keep(collection, ["tree/1.jpg"])] == ["bob"]
    assert [entry.who for entry in decisions.undo(collection, last=1)] == ["bob"]


@pytest.mark.parametrize("length", [64, 12, 6])
def test_images_are_named_by_key_by_content_or_by_its_beginning(collection: Collection, length: int) -> None:
    decisions.drop(collection, ["plank/1.jpg", content("tree/1.jpg")[:length]])
    assert verdicts(collection) == {"plank/1.jpg": "drop", "tree/1.jpg": "drop"}


def test_a_decision_on_one_of_two_equal_files_holds_for_both_and_is_one_entry(collection: Collection) -> None:
    names = ["tree/2.jpg", "tree/copy.jpg", content("tree/2.jpg"), "tree/2.jpg"]
    (entry,) = decisions.drop(collection, names)
    assert entry.key == "tree/2.jpg"
    assert verdicts(collection) == {"tree/2.jpg": "drop", "tree/copy.jpg": "drop"}


def test_unknown_names_are_named_counted_and_nothing_is_decided(collection: Collection) -> None:
    names = ["tree/1.jpg", "x/1.jpg", "x/2.jpg", "abcde", "abcdef0123", "x/3.jpg"]
    with pytest.raises(UsageError, match=r"has no image x/1\.jpg, x/2\.jpg, abcde and 2 more; name keys"):
        decisions.drop(collection, names)
    assert Ledger(collection).entries == []


def test_a_beginning_of_several_contents_is_refused(collection: Collection) -> None:
    images = collection.images()
    images["id"] = [f"abcdef{number}".ljust(64, "0") for number in range(len(images))]
    collection.write(images, collection.rejects())
    with pytest.raises(UsageError, match=r"abcdef begins several content ids .* give more of it"):
        decisions.drop(collection, ["abcdef"])
    assert len(decisions.drop(collection, ["abcdef1"])) == 1


def test_a_decision_that_holds_already_is_not_written_again(collection: Collection) -> None:
    decisions.drop(collection, ["tree/1.jpg"])
    decisions.relabel(collection, ["tree/1.jpg"], "boat")
    assert decisions.drop(collection, ["tree/1.jpg"], reason="again") == []
    assert decisions.relabel(collection, ["tree/1.jpg"], "boat") == []
    assert [entry.key for entry in decisions.drop(collection, ["tree/1.jpg", "plank/1.jpg"])] == ["plank/1.jpg"]
    assert len(decisions.keep(collection, ["tree/1.jpg"])) == 1
    assert len(decisions.drop(collection, ["tree/1.jpg"])) == 1


def test_relabel_changes_the_label_under_every_key_and_no_table(collection: Collection) -> None:
    before = (collection.root / "images.parquet").read_bytes()
    decisions.relabel(collection, ["tree/2.jpg"], "plank")
    assert labels(collection)["tree/2.jpg"] == labels(collection)["tree/copy.jpg"] == "plank"
    assert labels(collection)["tree/1.jpg"] == "tree"
    assert (collection.root / "images.parquet").read_bytes() == before


def test_the_label_that_an_image_has_can_be_confirmed(collection: Collection) -> None:
    assert len(decisions.relabel(collection, ["tree/1.jpg"], "tree")) == 1
    assert decisions.relabel(collection, ["tree/1.jpg"], "tree") == []


def test_a_label_that_no_image_has_must_be_meant(collection: Collection) -> None:
    with pytest.raises(UsageError, match=r"no image has the label 'tre'; there are boat, plank, tree; .* --new-label"):
        decisions.relabel(collection, ["tree/1.jpg"], "tre")
    decisions.relabel(collection, ["tree/1.jpg"], "half moon", new_label=True)
    decisions.relabel(collection, ["tree/2.jpg"], "half moon")  # now there is one
    decisions.relabel(collection, ["boat/1.jpg"], "tree")
    decisions.relabel(collection, ["boat/1.jpg"], "boat")  # its own, which no image has at the moment
    assert labels(collection)["boat/1.jpg"] == "boat"


@pytest.mark.parametrize("label", ["", " ", "tree ", " tree", "a\nb", "a\0b", "a\udcffb"])
def test_what_can_not_be_a_label_is_refused(collection: Collection, label: str) -> None:
    with pytest.raises(UsageError, match="can't be a label"):
        decisions.relabel(collection, ["tree/1.jpg"], label, new_label=True)


# Undo


def test_undo_by_entry_brings_back_what_held_before(collection: Collection) -> None:
    decisions.drop(collection, ["tree/1.jpg"])
    (kept,) = decisions.keep(collection, ["tree/1.jpg"])
    (entry,) = decisions.undo(collection, [kept.entry], reason="too fast", who="Ann")
    assert (entry.action, entry.of, entry.id, entry.key) == ("undo", kept.entry, "", "tree/1.jpg")
    assert (entry.reason, entry.who) == ("too fast", "Ann")
    assert verdicts(collection) == {"tree/1.jpg": "drop"}


def test_undo_by_image_takes_its_last_decision_again_and_again(collection: Collection) -> None:
    decisions.drop(collection, ["tree/2.jpg", "plank/1.jpg"])
    decisions.relabel(collection, ["tree/2.jpg"], "boat")
    decisions.undo(collection, ["tree/copy.jpg"])  # the same bytes
    assert (labels(collection)["tree/2.jpg"], verdicts(collection)["tree/2.jpg"]) == ("tree", "drop")
    decisions.undo(collection, [content("tree/2.jpg")[:8]])
    assert verdicts(collection) == {"plank/1.jpg": "drop"}
    with pytest.raises(UsageError, match=r"nothing was decided of tree/2\.jpg, or it was undone already"):
        decisions.undo(collection, ["tree/2.jpg"])


def test_undo_last_counts_decisions_in_force(collection: Collection) -> None:
    first = decisions.drop(collection, ["tree/1.jpg", "tree/2.jpg", "plank/1.jpg"])
    decisions.undo(collection, [first[2].entry])
    assert {entry.of for entry in decisions.undo(collection, last=1)} == {first[1].entry}
    assert {entry.of for entry in decisions.undo(collection, last=5)} == {first[0].entry}
    assert decisions.undo(collection, last=1) == []
    assert verdicts(collection) == {}


def test_a_decision_that_is_named_twice_is_undone_once(collection: Collection) -> None:
    (dropped,) = decisions.drop(collection, ["tree/2.jpg"])
    assert len(decisions.undo(collection, [dropped.entry, "tree/2.jpg", "tree/copy.jpg"], last=1)) == 1


def test_an_undo_is_not_undone_and_nothing_is_undone_twice(collection: Collection) -> None:
    (dropped,) = decisions.drop(collection, ["tree/1.jpg"])
    (taken_back,) = decisions.undo(collection, [dropped.entry])
    with pytest.raises(UsageError, match="is an undo itself; make the decision again"):
        decisions.undo(collection, [taken_back.entry])
    with pytest.raises(UsageError, match=r"\(drop tree/1\.jpg\) was undone already"):
        decisions.undo(collection, [dropped.entry])
    with pytest.raises(UsageError, match="has no image 0123456789ab; name entries as curate log shows them"):
        decisions.undo(collection, ["0123456789ab"])


def test_decisions_on_images_that_are_gone_stay_and_can_be_undone_by_entry(collection: Collection) -> None:
    (dropped,) = decisions.drop(collection, ["tree/1.jpg"])
    images = collection.images()
    collection.write(images[images["key"] != "tree/1.jpg"], collection.rejects())
    assert verdicts(collection) == {}
    collection.write(images, collection.rejects())
    assert verdicts(collection) == {"tree/1.jpg": "drop"}
    collection.write(images[images["key"] != "tree/1.jpg"], collection.rejects())
    undone: list[Entry] = decisions.undo(collection, [dropped.entry])
    assert undone[0].of == dropped.entry
