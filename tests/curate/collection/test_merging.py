"""Ledgers joined in any order mean the same, and what people disagree on waits for somebody to decide."""

import itertools
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from curate.collection import decisions, findings
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.findings import Findings
from curate.collection.ledger import Action, Entry, Ledger, State
from curate.collection.merging import merge
from curate.collection.sets import NAMES, compare, explain, training_set
from curate.foundation.errors import FewposeError, UsageError

KEYS = [f"tree/{number}.jpg" for number in range(12)]
PEOPLE = ("Ann", "Bob", "Carl")


def content(key: str) -> str:
    return f"{KEYS.index(key):064x}"


def collection(root: Path) -> Collection:
    """Twelve photographs of a tree that were checked by no rule."""
    made = Collection.create(root)
    rows = [
        {name: "" if kind == "str" else 1 for name, kind in COLUMNS.items()}
        | {"key": key, "id": content(key), "label": "tree", "group": content(key)}
        for key in KEYS
    ]
    made.write(pd.DataFrame(rows), pd.DataFrame(columns=list(REJECT_COLUMNS)))
    nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in findings.COLUMNS.items()})
    findings.write(made, Findings(nothing, {}, findings.digest(made.images())))
    return made


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Collection]:
    return lambda name: collection(tmp_path / name)


def digests(of: Collection) -> dict[str, str]:
    return {name: training_set(of, name).digest for name in NAMES}


def decide_at_random(of: Collection, who: str, chance: random.Random, times: int = 20) -> None:
    for _ in range(times):
        key = chance.choice(KEYS[:3])
        match chance.randrange(5):
            case 0 | 1:
                decisions.drop(of, [key], who=who, reason="at random")
            case 2:
                decisions.keep(of, [key], who=who)
            case 3:
                decisions.relabel(of, [key], chance.choice(["plank", "boat", "tree"]), new_label=True, who=who)
            case _:
                decisions.undo(of, last=1, who=who)


def of_earlier_version(of: Collection) -> None:
    """Its ledger as it was written before decisions said what they replace: in whole seconds."""
    path = Ledger(of).path
    lines = []
    for line in path.read_text().splitlines():
        told = {name: value for name, value in json.loads(line).items() if name not in ("over", "checksum")}
        lines.append(json.dumps(told | {"when": told["when"][:19] + told["when"][26:]}))
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("people", [PEOPLE[:2], PEOPLE])
def test_ledgers_joined_in_any_order_and_way_are_one(
    make: Callable[[str], Collection], seed: int, people: Sequence[str]
) -> None:
    chance = random.Random(seed)
    shared = make("shared")
    decide_at_random(shared, people[0], chance)
    theirs = []
    for who in people:
        theirs.append(make(who))
        Ledger(theirs[-1]).path.write_bytes(Ledger(shared).path.read_bytes())
        decide_at_random(theirs[-1], who, chance)
        decide = decisions.drop if who == people[0] else decisions.keep
        decide(theirs[-1], KEYS[-1:], who=who)
    ledgers = [Ledger(one).path for one in theirs]
    contents = [path.read_bytes() for path in ledgers]
    found: list[tuple[State, list[Entry], dict[str, str]]] = []
    for number, order in enumerate(itertools.permutations(range(len(people)))):
        joined = make(f"joined {number}")
        Ledger(joined).path.write_bytes(b"".join(contents[place] for place in order))
        merged = make(f"merged {number}")
        for place in order:
            merge(merged, [ledgers[place]])
        at_once = make(f"at once {number}")
        merge(at_once, [ledgers[place] for place in order])
        found += [(Ledger(one).state(), Ledger(one).entries, digests(one)) for one in (joined, merged, at_once)]
    for own, path in zip(theirs, ledgers, strict=True):
        merge(own, [other for other in ledgers if other != path])
        found.append((Ledger(own).state(), Ledger(own).entries, digests(own)))
    assert all(one == found[0] for one in found)
    assert content(KEYS[-1]) in found[0][0].disputed  # chance may have them agree on all others


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_ledgers_of_earlier_versions_too(make: Callable[[str], Collection], seed: int) -> None:
    chance = random.Random(seed)
    theirs = [make(who) for who in PEOPLE]
    for who, one in zip(PEOPLE, theirs, strict=True):
        decide_at_random(one, who, chance)
        of_earlier_version(one)
    ledgers = [Ledger(one).path for one in theirs]
    states = []
    for number, order in enumerate(itertools.permutations(ledgers)):
        merged = make(f"merged {number}")
        for other in order:
            merge(merged, [other])
        states.append((Ledger(merged).state(), digests(merged)))
    for one in theirs:
        merge(one, ledgers)
        states.append((Ledger(one).state(), digests(one)))
    assert all(state == states[0] for state in states)


def test_a_ledger_of_an_earlier_version_means_what_it_did(make: Callable[[str], Collection]) -> None:
    ours = make("ours")
    ledger = Ledger(ours)
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def entry(action: Action, key: str, who: str, seconds: int) -> Entry:
        when = (at + timedelta(seconds=seconds)).isoformat(timespec="seconds")
        return Entry(action, id=content(key), key=key, who=who, when=when)

    ledger.append(
        [
            entry(Action.DROP, KEYS[0], "Ann", 0),
            entry(Action.KEEP, KEYS[0], "Bob", 5),  # the later line of one ledger
            entry(Action.DROP, KEYS[1], "Ann", 7),
            entry(Action.KEEP, KEYS[1], "Ann", 7),  # of one person in one second
        ]
    )
    assert Ledger(ours).state().verdict == {content(KEYS[0]): "keep", content(KEYS[1]): "keep"}
    assert not Ledger(ours).state().disputed


def test_decisions_of_earlier_versions_from_two_ledgers_were_made_apart(make: Callable[[str], Collection]) -> None:
    ann, bob = make("ann"), make("bob")
    decisions.drop(ann, KEYS[:2], who="Ann")
    decisions.keep(bob, KEYS[:1], who="Bob")
    for one in (ann, bob):
        of_earlier_version(one)
    before = Ledger(bob).path.read_bytes()
    done = merge(ann, [bob.root])
    assert [[entry.who for entry in each.decisions] for each in done.disagreements] == [["Ann", "Bob"]]
    assert (done.joined, [each.images for each in done.agreements]) == (1, [1])
    assert merge(bob, [ann.root]).disagreements == done.disagreements
    assert Ledger(bob).entries == Ledger(ann).entries
    assert Ledger(bob).path.read_bytes().startswith(before)


# Disagreement


@pytest.fixture
def disagreed(make: Callable[[str], Collection]) -> tuple[Collection, Collection]:
    """Ann dropped tree/0 and tree/1 and calls tree/2 a boat; Bob kept tree/0, dropped tree/1, calls tree/2 a plank."""
    ann, bob = make("ann"), make("bob")
    decisions.drop(ann, KEYS[:2], who="Ann")
    decisions.relabel(ann, [KEYS[2]], "boat", new_label=True, who="Ann")
    decisions.keep(bob, KEYS[:1], who="Bob")
    decisions.drop(bob, KEYS[1:2], who="Bob")
    decisions.relabel(bob, [KEYS[2]], "plank", new_label=True, who="Bob")
    return ann, bob


def why(of: Collection) -> dict[str, tuple[bool, str]]:
    table = explain(of)
    return {
        key: (bool(inside), said)
        for key, inside, said in zip(table["key"], table["filtered"], table["why"], strict=True)
    }


def test_what_people_disagree_on_is_listed_and_counts_for_nobody(disagreed: tuple[Collection, Collection]) -> None:
    ann, bob = disagreed
    done = merge(ann, [Ledger(bob).path])
    assert [(each.key, [entry.said for entry in each.decisions]) for each in done.disagreements] == [
        (KEYS[0], ["drop", "keep"]),
        (KEYS[2], ["relabel to boat", "relabel to plank"]),
    ]
    state = Ledger(ann).state()
    assert (state.verdict, state.label) == ({content(KEYS[1]): "drop"}, {})
    assert set(state.disputed) == {content(KEYS[0]), content(KEYS[2])} <= state.ids()
    said = why(ann)
    assert said[KEYS[0]] == (True, "disputed: drop by Ann, keep by Bob")  # as the rules say
    assert said[KEYS[1]] == (False, "dropped by Bob")
    assert said[KEYS[2]] == (False, "disputed: relabel to boat by Ann, relabel to plank by Bob")  # no label is known
    assert compare(ann).disputed == 2


def test_a_disagreement_that_was_there_is_listed_again(disagreed: tuple[Collection, Collection]) -> None:
    ann, bob = disagreed
    first = merge(ann, [bob.root])
    content = Ledger(ann).path.read_bytes()
    again = merge(ann, [bob.root, bob.root])
    assert (again.joined, again.known) == (0, 6)
    assert again.disagreements == first.disagreements
    assert Ledger(ann).path.read_bytes() == content


@pytest.mark.parametrize("who", ["Ann", "Bob", "Carl"])
def test_who_decides_with_both_before_them_settles_it(disagreed: tuple[Collection, Collection], who: str) -> None:
    ann, bob = disagreed
    merge(ann, [bob.root])
    (settled,) = decisions.drop(ann, KEYS[:1], who=who)  # also where it is what one of them said before
    decisions.relabel(ann, [KEYS[2]], "tree", who=who)
    assert not Ledger(ann).state().disputed
    assert merge(bob, [ann.root]).disagreements == []  # the word travels
    assert Ledger(bob).state().verdict[settled.id] == "drop"
    assert why(bob)[KEYS[2]] == (True, f"relabelled by {who}")
    decisions.undo(bob, [settled.entry], who="Bob")
    assert set(Ledger(bob).state().disputed) == {settled.id}
    assert [each.key for each in merge(ann, [bob.root]).disagreements] == [KEYS[0]]


def test_an_undone_word_disagrees_with_nobody(disagreed: tuple[Collection, Collection]) -> None:
    ann, bob = disagreed
    merge(ann, [bob.root])
    mine = next(entry for entry in Ledger(ann).entries if entry.who == "Ann" and entry.key == KEYS[0])
    decisions.undo(ann, [mine.entry], who="Ann")
    assert Ledger(ann).state().verdict[content(KEYS[0])] == "keep"


def test_who_decides_without_having_seen_the_other_settles_nothing(
    disagreed: tuple[Collection, Collection],
) -> None:
    ann, bob = disagreed
    decisions.keep(ann, KEYS[1:2], who="Ann")  # later than Bob's word, which Ann has not seen
    assert {each.key for each in merge(ann, [bob.root]).disagreements} == {KEYS[0], KEYS[1], KEYS[2]}


def test_two_people_in_one_ledger_see_each_other_and_the_later_word_counts(make: Callable[[str], Collection]) -> None:
    ours = make("ours")
    decisions.drop(ours, KEYS[:1], who="Ann")
    decisions.keep(ours, KEYS[:1], who="Bob")
    assert (Ledger(ours).state().verdict, Ledger(ours).state().disputed) == ({content(KEYS[0]): "keep"}, {})


@pytest.mark.slow
def test_what_was_seen_stays_replaced_when_a_word_between_is_undone(make: Callable[[str], Collection]) -> None:
    ours = make("ours")
    decisions.drop(ours, KEYS[:1], who="Ann")
    (between,) = decisions.keep(ours, KEYS[:1], who="Bob")
    decisions.drop(ours, KEYS[:1], who="Carl", reason="sure")
    decisions.undo(ours, [between.entry])
    state = Ledger(ours).state()
    assert (state.verdict[content(KEYS[0])], state.reason[content(KEYS[0])], state.disputed) == ("drop", "sure", {})


def test_a_clock_that_is_wrong_makes_no_earlier_word_the_later(make: Callable[[str], Collection]) -> None:
    ours = make("ours")
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    Ledger(ours).append([Entry(Action.DROP, id=content(KEYS[0]), key=KEYS[0], who="Ann", when=ahead, over=())])
    for who in ("Bob", "Ann"):
        decisions.keep(ours, KEYS[:1], who=who)
        decisions.drop(ours, KEYS[:1], who=who)
    assert [entry.who for entry in Ledger(ours).entries] == ["Ann", "Bob", "Bob", "Ann", "Ann"]
    assert Ledger(ours).state().verdict == {content(KEYS[0]): "drop"}
    decisions.undo(ours, last=1)
    assert Ledger(ours).state().verdict == {content(KEYS[0]): "keep"}


# What is joined


def test_an_older_copy_of_the_own_ledger_changes_nothing(make: Callable[[str], Collection], tmp_path: Path) -> None:
    ours = make("ours")
    decisions.drop(ours, KEYS[:3], who="Ann")
    (tmp_path / "copy.jsonl").write_bytes(Ledger(ours).path.read_bytes())
    decisions.keep(ours, KEYS[:2], who="Bob")
    decisions.undo(ours, last=1)
    before = Ledger(ours).path.read_bytes()
    done = merge(ours, [tmp_path / "copy.jsonl", Ledger(ours).path])
    assert (done.joined, done.disagreements) == (0, [])
    assert Ledger(ours).path.read_bytes() == before


def test_a_dry_run_says_the_same_and_writes_nothing(disagreed: tuple[Collection, Collection]) -> None:
    ann, bob = disagreed
    before = Ledger(ann).path.read_bytes()
    foreseen = merge(ann, [bob.root], dry_run=True)
    assert Ledger(ann).path.read_bytes() == before
    assert merge(ann, [bob.root]) == foreseen


def test_a_collection_without_decisions_has_nothing_to_join(make: Callable[[str], Collection]) -> None:
    assert merge(make("ann"), [make("bob").root]).joined == 0


def line(**fields: object) -> bytes:
    told = {"entry": "0123456789ab", "action": "drop", "id": content(KEYS[0]), "who": "Eve", "when": "2026-01-01"}
    return json.dumps(told | fields).encode() + b"\n"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (line(entry="0123456789ac") + b'{"entry": "01', "line 2 is damaged"),
        (line() + b"\0\n" + line(entry="0123456789ac"), "line 2 is damaged"),
        (line(when="yesterday"), "line 1 is damaged"),
        (line(over="0123456789ab"), "line 1 is damaged"),
        (line(over=[7]), "line 1 is damaged"),
        (line(when="9999-12-31T23:59:59.999999+00:00"), "line 1 is damaged"),
        (line(when="9998-01-01T00:00:00+00:00"), "which is not yet"),
        (line(entry="tree/0.jpg"), "no name of one"),
        (line(over=["\x1b[31m"]), "no name of one"),
        (line(action="relabel", label="two\nlines"), "a label that can't be one"),
    ],
)
def test_a_ledger_that_is_damaged_or_makes_no_sense_is_refused_whole(
    make: Callable[[str], Collection], tmp_path: Path, damage: bytes, said: str
) -> None:
    ours, good = make("ours"), make("good")
    decisions.drop(ours, KEYS[:1], who="Ann")
    decisions.drop(good, KEYS[1:2], who="Bob")
    (tmp_path / "theirs.jsonl").write_bytes(damage)
    before = Ledger(ours).path.read_bytes()
    with pytest.raises(FewposeError, match=said):
        merge(ours, [good.root, tmp_path / "theirs.jsonl"])
    assert Ledger(ours).path.read_bytes() == before


def test_an_entry_that_somebody_changed_is_refused(make: Callable[[str], Collection]) -> None:
    ours, theirs = make("ours"), make("theirs")
    (entry,) = decisions.drop(ours, KEYS[:1], who="Ann")
    Ledger(theirs).append([Entry(**{name: getattr(entry, name) for name in Entry.__slots__} | {"who": "Eve"})])
    with pytest.raises(FewposeError, match=f"the entry {entry.entry} is another one"):
        merge(ours, [theirs.root])


def test_where_there_is_no_ledger_it_is_said(make: Callable[[str], Collection], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such file; name a ledger\.jsonl, or a collection"):
        merge(make("ours"), [tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="is not a collection"):
        merge(make("ours"), [tmp_path])
