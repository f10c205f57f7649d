"""What the commands that decide say, and how they end. What they do is tested beside what they call."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from curate import cli
from curate.checks.check import check
from curate.collection import decisions
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from curate.collection.sets import NAMES, training_set
from curate.foundation import console
from curate.importing.importer import import_folder


def photo(seed: int) -> bytes:
    noise = np.random.default_rng(seed).normal(size=(160, 180, 3)).cumsum(0).cumsum(1)
    file = io.BytesIO()
    Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


class Done(NamedTuple):
    returncode: int
    said: str  # with single spaces
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command `curate` with these arguments."""

    def call(*arguments: str | Path, stdin: str = "") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as stop:
            cli.app()
        out, err = capsys.readouterr()
        return Done(int(stop.value.code or 0), " ".join(out.split()), err)

    return call


PHOTOS = {
    "tree/1.jpg": 1,
    "tree/2.jpg": 2,
    "tree/copy.jpg": 2,
    "plank/1.jpg": 3,
    "plank/2.jpg": 4,
    "plank/both.jpg": 5,
    "boat/both.jpg": 5,
}


def source(root: Path) -> Path:
    for key, seed in PHOTOS.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(photo(seed))
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checked collection: one exact copy, one picture under two labels."""
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr(console.out, "width", 200)
    import_folder(source(tmp_path / "photos"), tmp_path / "c")
    check(Collection(tmp_path / "c"), model=None, rules=["exact_duplicate", "two_labels"])
    return tmp_path / "c"


def filtered(root: Path) -> set[str]:
    return set(training_set(Collection(root), "filtered").images["key"])


def test_drop_says_what_was_dropped_and_how_to_take_it_back(root: Path, run: Run) -> None:
    done = run("drop", root, "tree/1.jpg", "plank/1.jpg", "--reason", "two people", "--who", "Bob")
    assert (done.returncode, done.stderr) == (0, "")
    assert "dropped: tree/1.jpg, plank/1.jpg next: curate sets" in done.said
    assert f"curate undo {root} --last 2" in done.said
    assert {(entry.reason, entry.who, entry.by) for entry in Ledger(Collection(root)).entries} == {
        ("two people", "Bob", "command")
    }
    assert filtered(root) == {"tree/2.jpg", "plank/2.jpg"}


def test_many_are_counted_not_named(root: Path, run: Run) -> None:
    done = run("drop", root, *PHOTOS)
    assert "dropped: tree/1.jpg, tree/2.jpg, plank/1.jpg and 2 more" in done.said
    assert "7 keys, for some stand for the same bytes" in done.said


def test_what_was_decided_so_already_is_said_and_not_written_again(root: Path, run: Run) -> None:
    run("drop", root, "tree/1.jpg")
    before = (root / "ledger.jsonl").read_bytes()
    done = run("drop", root, "tree/1.jpg")
    assert (done.returncode, done.said) == (0, "1 image decided so already: nothing new")
    assert (root / "ledger.jsonl").read_bytes() == before


def test_keys_are_read_from_stdin_one_a_line(root: Path, run: Run) -> None:
    done = run("drop", root, "-", "plank/1.jpg", stdin="tree/1.jpg\n\ntree/copy.jpg\r\n")
    assert done.returncode == 0
    assert {entry.key for entry in Ledger(Collection(root)).entries} == {"plank/1.jpg", "tree/1.jpg", "tree/copy.jpg"}
    done = run("drop", root, "-", stdin="\n")
    assert (done.returncode, "stdin names no images" in done.stderr) == (2, True)


def test_keep_says_what_stays_out_all_the_same(root: Path, run: Run) -> None:
    done = run("keep", root, "tree/copy.jpg", "boat/both.jpg")
    assert "kept: tree/copy.jpg, boat/both.jpg" in done.said
    assert "plank/both.jpg stays out (two labels): say with curate relabel which label is right" in done.said
    assert "tree/copy.jpg stays out" not in done.said  # the same bytes are in, under their other key
    (root / "checks.json").unlink()
    assert run("keep", root, "tree/1.jpg").returncode == 0  # nothing to say before a check


def test_relabel_says_to_what(root: Path, run: Run) -> None:
    done = run("relabel", root, "boat/both.jpg", "--to", "plank")
    assert "labelled plank: boat/both.jpg 2 keys" in done.said
    assert len({"boat/both.jpg", "plank/both.jpg"} & filtered(root)) == 1
    done = run("relabel", root, "tree/1.jpg", "--to", "tre")
    assert (done.returncode, "--new-label" in done.stderr) == (2, True)
    assert run("relabel", root, "tree/1.jpg", "--to", "tre", "--new-label").returncode == 0


def test_undo_names_what_it_took_back(root: Path, run: Run) -> None:
    run("drop", root, "tree/1.jpg")
    run("relabel", root, "plank/1.jpg", "--to", "tree")
    assert run("undo", root, "tree/1.jpg", "--reason", "misread").said == "undone: drop tree/1.jpg, by ann"
    assert run("undo", root, "--last", "1").said == "undone: relabel to tree plank/1.jpg, by ann"
    assert run("undo", root, "--last", "1").said == "there is no decision to undo"
    for wrong in ([], ["tree/1.jpg", "--last", "1"]):
        done = run("undo", root, *wrong)
        assert (done.returncode, "say what to undo" in done.stderr) == (2, True)


def test_log_shows_who_decided_what_when_and_why(root: Path, run: Run) -> None:
    run("drop", root, "tree/1.jpg", "--reason", "two [red] people")
    run("relabel", root, "plank/1.jpg", "--to", "tree")
    run("undo", root, "--last", "1")
    first, second, third = Ledger(Collection(root)).entries
    said = run("log", root).said
    assert f"{first.entry} {first.when[:16].replace('T', ' ')} ann drop tree/1.jpg two [red] people" in said
    assert "ann relabel to tree (undone) plank/1.jpg" in said
    assert f"ann undo {second.entry} plank/1.jpg" in said
    assert said.endswith("3 entries, 1 in force")
    told = json.loads(run("log", root, "--json", "--last", "2").said)
    assert [(one["entry"], one["undone_by"]) for one in told] == [(second.entry, third.entry), (third.entry, "")]


def test_log_and_status_count_decisions_that_wait_for_their_images(root: Path, run: Run) -> None:
    assert "decided" not in run("status", root).said
    run("drop", root, "tree/1.jpg")
    run("keep", root, "tree/2.jpg")
    run("relabel", root, "plank/1.jpg", "--to", "tree")
    assert "decided: 1 kept, 1 dropped, 1 relabelled cache" in run("status", root).said
    collection = Collection(root)
    images = collection.images()
    collection.write(images[images["key"] != "tree/1.jpg"], collection.rejects())
    assert "1 image decided of that the collection doesn't hold" in run("log", root).said
    assert "decided: 1 kept, 1 dropped, 1 relabelled, 1 of them not in the collection" in run("status", root).said


def test_status_counts_classes_by_the_ledger_s_labels(root: Path, run: Run) -> None:
    run("relabel", root, "boat/both.jpg", "--to", "plank")
    told = json.loads(run("status", root, "--json").said)
    assert told["classes"] == {"plank": 4, "tree": 3}
    assert told["conflicts"] == []
    assert told["decisions"] == {"kept": 0, "dropped": 0, "relabelled": 1, "disputed": 0, "absent": 0}


def test_sets_shows_sizes_digests_and_the_difference(root: Path, run: Run) -> None:
    run("drop", root, "tree/1.jpg", "--reason", "two people")
    said = run("sets", root).said
    digests = [training_set(Collection(root), name).digest for name in NAMES]
    assert "class unfiltered filtered boat 1 0 plank 3 2 tree 3 1 all 7 3" in said
    assert f"digest {digests[0]} {digests[1]}" in said
    assert "left out by images exact duplicate 1 two labels 2" in said
    assert "by people images dropped 1" in said
    assert "two people" not in said
    why = run("sets", root, "--why").said
    assert "tree/1.jpg tree out dropped by ann: two people" in why
    assert "tree/copy.jpg tree out exact duplicate" in why


def test_sets_for_scripts_is_json(root: Path, run: Run) -> None:
    told = json.loads(run("sets", root, "--json").said)
    assert told["images"] == {"unfiltered": 7, "filtered": 4}
    assert told["rules"] == {"exact_duplicate": 1, "two_labels": 2}
    assert "why" not in told
    listed = json.loads(run("sets", root, "--json", "--why").said)["why"]
    assert {(one["key"], one["filtered"], one["why"]) for one in listed} == {
        ("tree/copy.jpg", False, "exact duplicate"),
        ("plank/both.jpg", False, "two labels"),
        ("boat/both.jpg", False, "two labels"),
    }


def test_sets_before_a_check_says_to_check(root: Path, run: Run) -> None:
    (root / "checks.json").unlink()
    done = run("sets", root)
    assert (done.returncode, f"curate check {root}" in done.stderr) == (1, True)


def test_export_says_what_it_wrote(root: Path, run: Run, tmp_path: Path) -> None:
    done = run("export", root, tmp_path / "out", "--set", "filtered", "--format", "webdataset", "--shard-size", "3")
    digest = training_set(Collection(root), "filtered").digest
    assert done.said == f"{tmp_path}/out: 4 images in 2 classes as webdataset, filtered {digest}"
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2
    done = run("export", root, tmp_path / "out")
    assert (done.returncode, "is not empty" in done.stderr) == (2, True)
    assert run("export", root, tmp_path / "linked", "--link").returncode == 0


@pytest.mark.slow
def test_a_ledger_that_is_replayed_on_a_rebuilt_collection_gives_the_same_sets(root: Path, tmp_path: Path) -> None:
    collection = Collection(root)
    decisions.relabel(collection, ["boat/both.jpg"], "boat")
    decisions.drop(collection, ["tree/1.jpg", "plank/1.jpg"])
    decisions.keep(collection, ["tree/copy.jpg"])
    decisions.undo(collection, ["plank/1.jpg"])

    # The same files, under other names and from another folder, in two parts, the last first.
    moved = tmp_path / "moved"
    for number, (key, seed) in enumerate(reversed(PHOTOS.items())):
        path = moved / str(number % 2) / key.split("/")[0] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(seed))
    rebuilt = tmp_path / "elsewhere/c"
    for part in ("1", "0"):
        import_folder(moved / part, rebuilt, link=True)
    (rebuilt / "ledger.jsonl").write_bytes((root / "ledger.jsonl").read_bytes())
    for one in (root, rebuilt):
        check(Collection(one), model=None)
    for name in NAMES:
        here, there = training_set(collection, name), training_set(Collection(rebuilt), name)
        assert len(here.images) == len(there.images) > 0
        assert here.digest == there.digest


@pytest.fixture
def other(root: Path, tmp_path: Path) -> Path:
    """Bob's ledger, who dropped tree/1.jpg and kept plank/1.jpg; in the collection Ann has kept and dropped them."""
    collection, path = Collection(root), Ledger(Collection(root)).path
    decisions.drop(collection, ["tree/1.jpg"], reason="two people", who="Bob")
    decisions.keep(collection, ["plank/1.jpg"], who="Bob")
    path.rename(tmp_path / "bob.jsonl")
    decisions.keep(collection, ["tree/1.jpg"], who="Ann")
    decisions.drop(collection, ["plank/1.jpg"], who="Ann")
    return tmp_path / "bob.jsonl"


def test_merge_says_what_was_joined_where_people_disagree_and_how_far_they_agree(
    root: Path, run: Run, other: Path
) -> None:
    before = (root / "ledger.jsonl").read_bytes()
    foreseen = run("merge", root, other, "--dry-run")
    assert f"{root}: 2 entries would be joined, 0 known before" in foreseen.said
    assert (root / "ledger.jsonl").read_bytes() == before
    done = run("merge", root, other)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{root}: 2 entries joined, 0 known before agreement of Ann and Bob: of 2 images" in done.said
    assert "both dropped or kept, 0 alike (0%); Cohen's kappa -1.00 (n = 2)" in done.said
    id = Ledger(Collection(root)).entries[0].id
    assert f"tree/1.jpg {id[:12]} drop by Bob, keep by Ann" in done.said
    assert "2 disagreements: none of these words counts until somebody decides again" in done.said
    assert f"next: curate drop {root} KEY (or keep, or relabel)" in done.said
    assert "0 entries joined, 2 known before" in run("merge", root, other).said


def test_what_merge_says_for_scripts_is_json(root: Path, run: Run, other: Path) -> None:
    told = json.loads(run("merge", root, other, "--json").said)
    assert (told["joined"], told["known"]) == (2, 0)
    assert told["agreement"] == [
        {"people": ["Ann", "Bob"], "on": "verdict", "images": 2, "alike": 0, "kappa": -1.0, "share": 0.0}
    ]
    said = {each["key"]: [(one["who"], one["action"]) for one in each["decisions"]] for each in told["disagreements"]}
    assert said == {
        "plank/1.jpg": [("Bob", "keep"), ("Ann", "drop")],
        "tree/1.jpg": [("Bob", "drop"), ("Ann", "keep")],
    }


def test_log_sets_and_status_say_what_is_disputed_until_it_is_settled(root: Path, run: Run, other: Path) -> None:
    run("merge", root, other)
    assert "drop (disputed) tree/1.jpg two people" in run("log", root).said
    assert [one["disputed"] for one in json.loads(run("log", root, "--json").said)] == [True] * 4
    assert "0 kept, 0 dropped, 0 relabelled, 2 disputed (curate sets --why names them)" in run("status", root).said
    assert "by people images disputed 2" in run("sets", root).said
    assert "tree/1.jpg tree in disputed: drop by Bob, keep by Ann" in run("sets", root, "--why").said
    run("drop", root, "tree/1.jpg", "plank/1.jpg", "--who", "Carl")  # what is printed is followed
    assert "decided: 0 kept, 2 dropped, 0 relabelled cache" in run("status", root).said
    assert "disputed" not in run("sets", root, "--why").said
    assert "agreement of Ann and Bob: of 2 images" in run("merge", root, other).said  # they did not agree


@pytest.mark.parametrize("command", ["drop", "keep", "relabel", "undo", "log", "merge", "sets", "export"])
def test_the_help_of_every_command_has_an_example(command: str, run: Run) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: curate {command}" in done.said


@pytest.mark.parametrize("command", [["drop", "x"], ["keep", "x"], ["relabel", "x", "--to", "tree"], ["undo", "x"]])
def test_an_unknown_image_is_one_sentence_and_exit_code_2(root: Path, run: Run, command: list[str]) -> None:
    done = run(command[0], root, *command[1:])
    assert (done.returncode, done.said) == (2, "")
    assert done.stderr.replace("\n", " ").startswith(f"error: {root} has no image x; name ")
    assert not (root / "ledger.jsonl").exists()
