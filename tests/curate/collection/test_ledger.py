"""The ledger keeps every decision: under two writers, after kill -9, when merged, and says so where it can't."""

import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.collection.directory import Collection
from curate.collection.ledger import Action, Entry, Ledger, State, folded, read
from curate.foundation import json_files
from curate.foundation.errors import FewposeError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "c")


def drop(id: str, **fields: Any) -> Entry:
    return Entry(Action.DROP, id=id, key=f"tree/{id}.jpg", **fields)


def undo(entry: Entry) -> Entry:
    return Entry(Action.UNDO, of=entry.entry)


def test_a_collection_without_decisions_has_an_empty_ledger_and_no_file(collection: Collection) -> None:
    ledger = Ledger(collection)
    ledger.append([])
    assert (ledger.entries, ledger.state()) == ([], State())
    assert not ledger.path.exists()


def test_what_was_appended_is_read_back_by_everybody(collection: Collection) -> None:
    entries = [
        drop("a1", reason="zwei Leute\n☃", who="Ann"),
        Entry(Action.KEEP, id="a2", who="Ann", by="app"),
        Entry(Action.RELABEL, id="a3", label="trée", key="x\udcff.jpg"),
    ]
    entries.append(undo(entries[0]))
    ledger = Ledger(collection)
    ledger.append(entries[:2])
    ledger.append(entries[2:])
    assert ledger.entries == Ledger(collection).entries == entries
    assert ledger.path.read_bytes().count(b"\n") == 4


def test_an_entry_says_who_when_and_from_where(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    entry = drop("a1")
    assert (entry.who, entry.by) == ("ann", "command")
    assert datetime.fromisoformat(entry.when).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert len(entry.entry) == 12
    assert int(entry.entry, 16) >= 0
    assert entry.entry != drop("a1").entry


@pytest.mark.parametrize(
    "fields",
    [
        {"action": Action.DROP},
        {"action": Action.DROP, "id": "a", "label": "tree"},
        {"action": Action.DROP, "id": "a", "of": "123456789abc"},
        {"action": Action.RELABEL, "id": "a"},
        {"action": Action.UNDO},
        {"action": Action.UNDO, "id": "a", "of": "123456789abc"},
    ],
)
def test_an_entry_that_means_nothing_is_not_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"names|has a label"):
        Entry(**fields)


# What holds


def test_the_last_verdict_and_the_last_label_hold(collection: Collection) -> None:
    ledger = Ledger(collection)
    ledger.append(
        [
            drop("a", reason="blurred", who="Ann"),
            Entry(Action.RELABEL, id="a", label="plank", reason="wrong pose", who="Bob"),
            Entry(Action.KEEP, id="b", who="Ann"),
            drop("b", reason="two people", who="Bob"),
            Entry(Action.RELABEL, id="c", label="tree", who="Ann"),
            Entry(Action.RELABEL, id="c", label="boat", reason="sure", who="Bob"),
        ]
    )
    assert ledger.state() == State(
        verdict={"a": "drop", "b": "drop"},
        label={"a": "plank", "c": "boat"},
        reason={"a": "blurred", "b": "two people", "c": "sure"},
        who={"a": "Ann", "b": "Bob", "c": "Bob"},
    )


def test_what_held_before_an_undone_decision_holds_again(collection: Collection) -> None:
    first, second = drop("a"), Entry(Action.KEEP, id="a")
    ledger = Ledger(collection)
    ledger.append([first, second, undo(second)])
    assert ledger.state().verdict == {"a": "drop"}
    ledger.append([undo(first)])
    assert ledger.state() == State()
    assert len(ledger.entries) == 4


def test_an_undo_of_an_undo_or_of_what_nobody_knows_does_nothing(collection: Collection) -> None:
    first = drop("a")
    taken_back = undo(first)
    Ledger(collection).append([first, taken_back, undo(taken_back), Entry(Action.UNDO, of="0123456789ab")])
    assert Ledger(collection).state() == State()


ids = st.sampled_from(["a", "b", "c"])
decisions = st.one_of(
    st.builds(lambda id: Entry(Action.KEEP, id=id), ids),
    st.builds(lambda id: Entry(Action.DROP, id=id), ids),
    st.builds(lambda id, label: Entry(Action.RELABEL, id=id, label=label), ids, st.sampled_from(["x", "y"])),
)


@settings(deadline=None)
@given(st.lists(decisions, max_size=20), st.data())
def test_undone_decisions_are_as_if_they_had_never_been_made(made: list[Entry], data: st.DataObject) -> None:
    undone = data.draw(st.sets(st.sampled_from(made))) if made else set()
    ledger = Ledger(Collection(Path("nowhere")))
    ledger.entries = [*made, *(undo(entry) for entry in undone)]
    assert ledger.state() == folded(entry for entry in made if entry not in undone)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(decisions, max_size=20))
def test_each_image_has_what_was_last_said_of_it(made: list[Entry]) -> None:
    state = folded(made)
    for id in "abc":
        verdicts = [entry.action for entry in made if entry.id == id and not entry.label]
        labels = [entry.label for entry in made if entry.id == id and entry.label]
        assert state.verdict.get(id) == (verdicts[-1] if verdicts else None)
        assert state.label.get(id) == (labels[-1] if labels else None)
    assert state.ids() == {entry.id for entry in made}


# The file


def test_two_ledgers_one_behind_the_other_are_merged(tmp_path: Path) -> None:
    ann, bob, both = (Collection.create(tmp_path / name) for name in ("ann", "bob", "both"))
    shared = [drop("a"), drop("b")]
    Ledger(ann).append([*shared, drop("c"), undo(shared[0])])
    Ledger(bob).append([*shared, Entry(Action.KEEP, id="b")])
    texts = [Ledger(one).path.read_bytes() for one in (ann, bob)]
    for order in (texts, texts[::-1]):
        Ledger(both).path.write_bytes(b"".join(order))
        assert len(Ledger(both).entries) == 5
        assert Ledger(both).state().verdict == {"b": "keep", "c": "drop"}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_no_decision_and_is_cut_away_by_the_next(collection: Collection, cut: int) -> None:
    ledger = Ledger(collection)
    ledger.append([drop("a"), drop("b")])
    ledger.path.write_bytes(ledger.path.read_bytes()[: -cut - 1])
    again = Ledger(collection)
    assert [entry.id for entry in again.entries] == ["a"]
    again.append([drop("c")])
    assert [entry.id for entry in Ledger(collection).entries] == ["a", "c"]


def test_a_last_line_that_lacks_only_its_end_is_a_decision(collection: Collection) -> None:
    Ledger(collection).append([drop("a"), drop("b")])
    path = Ledger(collection).path
    path.write_bytes(path.read_bytes()[:-1])  # as some editors leave it
    assert [entry.id for entry in Ledger(collection).entries] == ["a", "b"]
    Ledger(collection).append([drop("c")])
    assert [entry.id for entry in Ledger(collection).entries] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"action": "drop", "id": "b"',
        b"\x00\x00",
        b"[]",
        b'{"action": "drop", "id": "b", "when": "now"}',
        b'{"entry": "0123456789ab", "action": "drop", "id": "b"}',
        b'{"entry": "0123456789ab", "action": "burn", "id": "b", "when": "now"}',
        b'{"entry": "0123456789ab", "action": "drop", "id": 7, "when": "now"}',
        b'{"entry": "0123456789ab", "action": "relabel", "id": "b", "when": "now"}',
        b'{"entry": "0123456789ab", "action": "drop", "id": "b", "when": "now", "checksum": "00000000"}',
        b"[" * 100_000,
        b'{"entry": "0123456789ab", "action": "drop", "id": "b", "when": 1e999}',
    ],
)
def test_a_damaged_line_is_an_error_that_names_it(collection: Collection, line: bytes) -> None:
    Ledger(collection).append([drop("a"), drop("b")])
    path = Ledger(collection).path
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)
    with pytest.raises(FewposeError, match=r"ledger\.jsonl, line 2 is damaged: the decision there"):
        Ledger(collection)


def test_two_decisions_of_one_name_are_damage_for_one_would_be_lost(collection: Collection) -> None:
    Ledger(collection).append([drop("a", entry="0123456789ab"), drop("b", entry="0123456789ab")])
    with pytest.raises(FewposeError, match="line 2 is damaged"):
        Ledger(collection)


@pytest.mark.slow
def test_no_flipped_bit_makes_another_decision(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    made = [drop("a"), Entry(Action.RELABEL, id="b", label="plank"), drop("c")]
    Ledger(collection).append(made)
    path = Ledger(collection).path
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            found = Ledger(collection).entries
        except FewposeError as error:
            assert re.search(r"ledger\.jsonl, line [123] is damaged", str(error))
            continue
        # The end of the last line may be lost, as a kill loses it: that is said.
        assert found == made or (found == made[:2] and place == len(whole) - 1), place
    assert "its last line is cut off, and the decision there does not count" in capsys.readouterr().err


def test_what_is_said_of_a_damaged_line_can_be_done(collection: Collection) -> None:
    made = [drop("a"), drop("b"), drop("c")]
    Ledger(collection).append(made)
    path = Ledger(collection).path
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"id":"b"', b'"id":"d"'))
    with pytest.raises(FewposeError) as caught:
        Ledger(collection)
    assert str(caught.value) == (
        f"{path}, line 2 is damaged: the decision there cannot be read (its checksum is not that of its content; who "
        'changed it by hand takes out "checksum"); mend the line, or delete it and decide again'
    )
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])  # deleted
    assert Ledger(collection).entries == [made[0], made[2]]
    by_hand = {name: value for name, value in json.loads(lines[1]).items() if name != "checksum"} | {"id": "d"}
    path.write_text(lines[0].decode() + json.dumps(by_hand) + "\n" + lines[2].decode())
    assert [entry.id for entry in Ledger(collection).entries] == ["a", "d", "c"]
    path.write_bytes(whole)  # mended
    assert Ledger(collection).entries == made


def test_a_ledger_of_which_nothing_is_left_is_said(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger(collection).append([drop("a")])
    Ledger(collection).path.write_bytes(b"")
    assert Ledger(collection).entries == []
    assert "ledger.jsonl is empty; if there were decisions in it, put a copy of it back" in capsys.readouterr().err


def test_a_ledger_from_before_checksums_is_read(collection: Collection) -> None:
    made = [drop("a"), drop("b")]
    Ledger(collection).append(made)
    path = Ledger(collection).path
    path.write_bytes(re.sub(rb',"checksum":"[0-9a-f]{8}"', b"", path.read_bytes()))
    assert b"checksum" not in path.read_bytes()
    Ledger(collection).append([drop("c")])
    assert [entry.id for entry in Ledger(collection).entries] == ["a", "b", "c"]


def test_blank_lines_and_fields_of_newer_versions_are_passed_over(collection: Collection) -> None:
    entry = drop("a")
    Ledger(collection).append([entry])
    path = Ledger(collection).path
    newer = json_files.parse_line(path.read_bytes()) | {"colour": "red"}
    path.write_bytes(b"\n" + json_files.line(newer).rstrip() + b"\r\n\n")
    assert Ledger(collection).entries == [entry]


def test_a_ledger_that_can_not_be_written_says_that_nothing_was_decided(collection: Collection) -> None:
    ledger = Ledger(collection)
    ledger.path.mkdir()
    with pytest.raises(FewposeError, match=r"cannot be written \(Is a directory\): nothing was decided"):
        ledger.append([drop("a")])
    with pytest.raises(FewposeError, match=r"cannot be read \(Is a directory\)"):
        Ledger(collection)
    assert ledger.entries == []


@pytest.mark.slow
def test_a_full_disk_leaves_the_ledger_as_it_was(collection: Collection) -> None:
    Ledger(collection).append([drop("a")])
    path = Ledger(collection).path
    before = path.read_bytes()
    # A limit on the size of files is what a full disk is: the first part of the write succeeds.
    code = f"""
import resource, signal
from pathlib import Path
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.collection.ledger import Action, Entry, Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50}, {len(before) + 50}))
try:
    Ledger(Collection(Path({str(collection.root)!r}))).append([Entry(Action.DROP, id="b")])
except FewposeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "nothing was decided" in done.stdout
    assert path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from curate.collection.directory import Collection
from curate.collection.ledger import Action, Entry, Ledger
root, name, times, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ledger = Ledger(Collection(root))
print("ready", flush=True)
for time in range(times):
    ledger.append([Entry(Action.DROP, id=f"{name}-{time}-{n}", reason="x" * 300) for n in range(batch)])
    print(time, flush=True)
"""


@pytest.fixture
def writer(collection: Collection) -> Callable[..., subprocess.Popen[str]]:
    def start(name: str, times: int, batch: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(collection.root), name, str(times), str(batch)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    return start


@pytest.mark.slow
def test_two_writers_lose_nothing_and_their_batches_stay_whole(
    collection: Collection, writer: Callable[..., subprocess.Popen[str]]
) -> None:
    processes = [writer(name, 60, 7) for name in ("ann", "bob")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    found = [entry.id for entry in read(Ledger(collection).path)]  # in the order of the lines
    for name in ("ann", "bob"):
        assert [id for id in found if id.startswith(name)] == [f"{name}-{t}-{n}" for t in range(60) for n in range(7)]
    batches = [found[start : start + 7] for start in range(0, len(found), 7)]
    assert all(len({id.rpartition("-")[0] for id in batch}) == 1 for batch in batches)


@pytest.mark.slow
def test_killed_while_it_writes_nothing_that_was_confirmed_is_lost(
    collection: Collection, writer: Callable[..., subprocess.Popen[str]]
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    confirmed: list[str] = []
    for number in range(4):
        process = writer(f"w{number}", 100_000, 20)
        assert process.stdout is not None
        for _ in range(chance.randrange(2, 30)):
            process.stdout.readline()
        process.kill()
        said = process.communicate()[0].split()
        assert process.returncode == -signal.SIGKILL
        found = [entry.id for entry in Ledger(collection).entries]  # no damaged line, however it ended
        last = int(said[-1]) if said else 0
        confirmed += [f"w{number}-{time}-{n}" for time in range(last + 1) for n in range(20)] if said else []
        assert set(confirmed) <= set(found), f"seed {seed}"
        tail = Ledger(collection).path.read_bytes()[-100:]
        with Ledger(collection).path.open("ab") as file:  # a tail as a kill in the middle of a write leaves it
            file.write(tail[: chance.randrange(1, 99)].replace(b"\n", b""))
    Ledger(collection).append([drop("last")])
    assert [entry.id for entry in Ledger(collection).entries][-1] == "last"
