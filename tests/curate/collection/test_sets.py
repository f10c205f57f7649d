"""A training set is a function of pictures, findings and decisions, never of the files' names or their order."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.collection import decisions, findings
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.findings import Findings, Kind, Ran
from curate.collection.ledger import Action, Entry, Ledger, State, folded
from curate.collection.sets import NAMES, compare, digest, explain, explained, labelled, training_set
from curate.foundation.errors import FewposeError, UsageError

KINDS = {
    "exact_duplicate": Kind.COPY,
    "near_duplicate": Kind.COPY,
    "two_labels": Kind.LABEL,
    "wrong_label": Kind.LABEL,
    "blurry": Kind.QUALITY,
    "text": Kind.CONTENT,
}
ADVICE = {"text"}  # flags, and drops nothing


def image(key: str, id: str, label: str) -> dict[str, Any]:
    row = {name: "" if kind == "str" else 0 for name, kind in COLUMNS.items()}
    return row | {"key": key, "id": id, "label": label, "file": f"images/{key}", "group": id}


def found(images: pd.DataFrame, flagged: dict[str, list[str]]) -> Findings:
    """As a check leaves them. flagged: rule: keys; every other image is fine."""
    ids = dict(zip(images["key"], images["id"], strict=True))
    rows = [
        {"key": key, "id": ids[key], "rule": rule, "version": 1, "score": float(key in keys), "threshold": 0.5}
        | {"flagged": key in keys, "detail": "", "other": "", "suggestion": ""}
        for rule, keys in flagged.items()
        for key in ids
    ]
    rules = {rule: Ran(rule, 1, kind, rule not in ADVICE, {"threshold": 0.5}) for rule, kind in KINDS.items()}
    table = pd.DataFrame(rows, columns=list(findings.COLUMNS)).astype(findings.COLUMNS)
    return Findings(table, rules, findings.digest(images))


def stored(rows: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """An image table of rows (key, id, label); the ids become digests, as a collection has them."""
    table = [image(key, id.encode().hex().ljust(64, "0"), label) for key, id, label in rows]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(COLUMNS)


Make = Callable[..., Collection]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A collection of rows (key, id, label), checked: `rule=[keys that it flags]`."""

    def build(*rows: tuple[str, str, str], **flagged: list[str]) -> Collection:
        collection = Collection.create(tmp_path / "c")
        collection.write(stored(rows), pd.DataFrame(columns=list(REJECT_COLUMNS)))
        findings.write(collection, found(collection.images(), flagged))
        return collection

    return build


FOUR = [("a/1", "i1", "a"), ("a/2", "i2", "a"), ("b/1", "i3", "b"), ("b/2", "i4", "b")]


def keys(collection: Collection, name: str = "filtered") -> list[str]:
    return sorted(training_set(collection, name).images["key"])


def why(collection: Collection) -> dict[str, str]:
    table = explain(collection)
    return {key: why for key, why in zip(table["key"], table["why"], strict=True) if why}


def test_unfiltered_is_every_row_of_the_table(make: Make) -> None:
    collection = make(*FOUR, ("b/3", "i1", "b"), blurry=["a/1"], exact_duplicate=["a/2"])
    decisions.drop(collection, ["a/1"])
    pd.testing.assert_frame_equal(training_set(collection, "unfiltered").images, collection.images())


def test_where_nothing_is_flagged_or_decided_both_sets_are_the_same(make: Make) -> None:
    sets = [training_set(make(*FOUR), name) for name in NAMES]
    pd.testing.assert_frame_equal(sets[0].images, sets[1].images)
    assert sets[0].digest == sets[1].digest


def test_filtered_is_without_what_a_rule_that_drops_has_flagged(make: Make) -> None:
    collection = make(*FOUR, blurry=["a/1"], near_duplicate=["a/1", "b/2"], text=["b/1"])
    assert keys(collection) == ["a/2", "b/1"]
    assert why(collection) == {"a/1": "near duplicate, blurry", "b/2": "near duplicate"}


def test_the_rules_are_named_in_reading_order(make: Make) -> None:
    collection = make(*FOUR, blurry=["a/1"], exact_duplicate=["a/1"], wrong_label=["a/1"])
    assert explain(collection)["rules"][0] == "exact_duplicate wrong_label blurry"


def test_what_a_person_dropped_is_out_whatever_rules_say(make: Make) -> None:
    collection = make(*FOUR, blurry=["a/1"])
    decisions.drop(collection, ["a/1", "b/1"], reason="two people", who="Ann")
    assert keys(collection) == ["a/2", "b/2"]
    assert why(collection)["b/1"] == "dropped by Ann: two people"


@pytest.mark.parametrize("rule", ["near_duplicate", "two_labels", "wrong_label", "blurry"])
def test_keep_beats_a_rule_and_is_remembered_by_the_next_check(make: Make, rule: str) -> None:
    collection = make(*FOUR, **{rule: ["a/1"]})
    assert keys(collection) == ["a/2", "b/1", "b/2"]
    decisions.keep(collection, ["a/1"], who="Ann")
    assert keys(collection) == ["a/1", "a/2", "b/1", "b/2"]
    assert why(collection) == {"a/1": "kept by Ann"}
    findings.write(collection, found(collection.images(), {rule: ["a/1", "a/2"]}))  # and flags another one, too
    assert keys(collection) == ["a/1", "b/1", "b/2"]


def test_the_same_bytes_twice_are_in_once_even_if_kept(make: Make) -> None:
    collection = make(*FOUR, ("a/3", "i1", "a"), exact_duplicate=["a/3"], blurry=["a/1", "a/3"])
    decisions.keep(collection, ["a/3"])
    assert keys(collection) == ["a/1", "a/2", "b/1", "b/2"]


def test_keep_does_not_say_which_of_two_labels_is_right_and_relabel_does(make: Make) -> None:
    collection = make(*FOUR, ("b/3", "i1", "b"), two_labels=["a/1", "b/3"])
    decisions.keep(collection, ["a/1"])
    assert keys(collection) == ["a/2", "b/1", "b/2"]
    decisions.relabel(collection, ["a/1"], "b", who="Ann")
    table = explain(collection).set_index("key")
    assert list(table["label"][["a/1", "b/3"]]) == ["b", "b"]
    assert list(table["filtered"][["a/1", "b/3"]]) == [True, False]  # the same bytes, once
    assert table["why"]["b/3"] == "exact duplicate"


def test_relabel_settles_what_doubts_the_label_and_nothing_else(make: Make) -> None:
    collection = make(*FOUR, wrong_label=["a/1", "a/2"], blurry=["a/2"])
    decisions.relabel(collection, ["a/1"], "b", who="Ann", reason="seen from behind")
    decisions.relabel(collection, ["a/2"], "a")  # confirmed
    assert keys(collection) == ["a/1", "b/1", "b/2"]
    assert why(collection) == {"a/1": "relabelled by Ann: seen from behind", "a/2": "blurry"}


def test_undo_brings_back_the_set_and_its_digest(make: Make) -> None:
    collection = make(*FOUR, blurry=["a/1"])
    before = [training_set(collection, name).digest for name in NAMES]
    decisions.keep(collection, ["a/1"])
    decisions.drop(collection, ["a/2"])
    decisions.relabel(collection, ["b/1"], "a")
    assert all(training_set(collection, name).digest != old for name, old in zip(NAMES, before, strict=True))
    decisions.undo(collection, last=3)
    assert [training_set(collection, name).digest for name in NAMES] == before


def test_a_label_of_the_ledger_is_the_label_in_both_sets(make: Make) -> None:
    collection = make(*FOUR)
    decisions.relabel(collection, ["a/1"], "b")
    for table in (labelled(collection), *(training_set(collection, name).images for name in NAMES)):
        assert dict(zip(table["key"], table["label"], strict=True))["a/1"] == "b"
        assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS
    assert labelled(collection).drop(columns="label").equals(collection.images().drop(columns="label"))


def test_a_rule_that_did_not_run_leaves_nothing_out(make: Make) -> None:
    collection = make(*FOUR, blurry=["a/1"])
    images = collection.images()
    whole = found(images, {"blurry": ["a/1"]})
    rules = whole.rules | {"blurry": Ran("blurry", 1, Kind.QUALITY, True, {}, not_run="needs eyes")}
    findings.write(collection, Findings(whole.table, rules, whole.images))
    assert len(keys(collection)) == 4


def test_where_exact_copies_are_wanted_a_relabel_keeps_them(make: Make) -> None:
    collection = make(*FOUR, ("b/3", "i1", "b"))
    whole = found(collection.images(), {})
    rules = whole.rules | {"exact_duplicate": Ran("exact duplicate", 1, Kind.COPY, False, {})}
    findings.write(collection, Findings(whole.table, rules, whole.images))
    decisions.relabel(collection, ["a/1"], "b")
    assert len(keys(collection)) == 5


def test_where_two_labels_are_allowed_no_file_s_name_chooses_between_them(make: Make) -> None:
    collection = make(*FOUR, ("b/3", "i1", "b"))  # nothing flags it
    assert {"a/1", "b/3"} <= set(keys(collection))


# Before a check


def test_filtered_needs_a_check_and_unfiltered_does_not(make: Make) -> None:
    collection = make(*FOUR)
    (collection.root / "checks.json").unlink()
    for ask in (lambda: training_set(collection, "filtered"), lambda: explain(collection), lambda: compare(collection)):
        with pytest.raises(FewposeError, match=r"c was never checked.* curate check .*/c$"):
            ask()
    assert len(training_set(collection, "unfiltered").images) == 4


@pytest.mark.parametrize("rows", [[*FOUR, ("b/3", "i5", "b")], FOUR[:3], [*FOUR[:3], ("b/2", "i9", "b")]])
def test_other_images_than_those_that_were_checked_need_another_check(make: Make, rows: list[Any]) -> None:
    collection = make(*FOUR)
    collection.write(stored(rows), collection.rejects())
    with pytest.raises(FewposeError, match=r"has other images than when it was last checked; .* curate check"):
        training_set(collection, "filtered")


def test_decisions_need_no_new_check(make: Make) -> None:
    collection = make(*FOUR)
    decisions.relabel(collection, ["a/1"], "b")
    assert len(keys(collection)) == 4


def test_an_empty_collection_has_empty_sets(make: Make) -> None:
    collection = make()
    assert [len(training_set(collection, name).images) for name in NAMES] == [0, 0]
    assert compare(collection).images == {"unfiltered": 0, "filtered": 0}


def test_an_unknown_name_is_refused_with_those_that_there_are(make: Make) -> None:
    with pytest.raises(UsageError, match="no training set 'flitered'; there are unfiltered and filtered"):
        training_set(make(*FOUR), "flitered")


# Whatever the files' names


cases = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y"])), min_size=1, max_size=15
)  # (content, label) of each image
# What rules say of bytes and labels, as they do but for exact copies.
rules = st.dictionaries(
    st.sampled_from(["near_duplicate", "wrong_label", "blurry"]), st.sets(st.sampled_from("abcdefgh"))
)
said = st.lists(
    st.one_of(
        st.builds(
            lambda id, do: Entry(do, id=id), st.sampled_from("abcdefgh"), st.sampled_from([Action.KEEP, Action.DROP])
        ),
        st.builds(
            lambda id, to: Entry(Action.RELABEL, id=id, label=to), st.sampled_from("abcdefgh"), st.sampled_from("xyz")
        ),
    ),
    max_size=6,
)


def case(images: list[tuple[str, str]], flags: dict[str, set[str]], state: State) -> pd.DataFrame:
    """What is explained, with the rules on exact copies and two labels as a check would have them."""
    table = pd.DataFrame([image(f"{n:03}", id, label) for n, (id, label) in enumerate(images)]).astype(COLUMNS)
    flagged = {rule: list(table["key"][table["id"].isin(ids)]) for rule, ids in flags.items()}
    flagged["exact_duplicate"] = list(table["key"][table.duplicated(["id", "label"])])
    flagged["two_labels"] = list(table["key"][table.groupby("id")["label"].transform("nunique") > 1])
    checked = found(table, flagged)
    labels = [state.label.get(id, label) for id, label in images]
    return explained(table.assign(label=labels), checked, state)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(cases, rules, said, st.randoms(use_true_random=False))
def test_neither_file_names_nor_row_order_decide_anything(
    images: list[Any], flags: dict[str, Any], told: list[Entry], chance: random.Random
) -> None:
    state, shuffled = folded(told), chance.sample(images, len(images))
    contents = []
    for each in (images, shuffled):
        table = case(each, flags, state)
        kept = table[table["filtered"]]
        contents.append((sorted(zip(kept["id"], kept["label"], strict=True)), digest(kept)))
    assert contents[0] == contents[1]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(cases, rules, said)
def test_a_person_s_word_decides_and_no_bytes_are_in_twice(
    images: list[Any], flags: dict[str, Any], told: list[Entry]
) -> None:
    state = folded(told)
    table = case(images, flags, state)
    kept = table[table["filtered"]]
    assert not kept["id"].duplicated().any()
    labels = table.groupby("id")["label"].nunique()
    for id in set(table["id"]):
        inside = id in set(kept["id"])
        if state.verdict.get(id) == "drop" or labels[id] > 1:
            assert not inside
        elif state.verdict.get(id) == "keep":
            assert inside
        else:
            doubted = {rule for rule, ids in flags.items() if id in ids} - (
                {"wrong_label"} if id in state.label else set()
            )
            assert inside == (not doubted)
    assert (table["filtered"] | table["why"].ne("")).all()


# Beside each other


def test_a_comparison_counts_by_class_by_rule_and_by_person(make: Make) -> None:
    rows = [*FOUR, ("b/3", "i5", "b"), ("c/1", "i6", "c"), ("c/2", "i7", "c")]
    collection = make(*rows, blurry=["a/1", "a/2", "b/1"], near_duplicate=["a/2"], wrong_label=["c/1", "c/2"])
    decisions.keep(collection, ["b/1"])
    decisions.drop(collection, ["b/2"])
    decisions.relabel(collection, ["c/1"], "b")
    found = compare(collection)
    assert found.images == {"unfiltered": 7, "filtered": 3}
    assert found.classes == {
        "a": {"unfiltered": 2, "filtered": 0},
        "b": {"unfiltered": 4, "filtered": 3},
        "c": {"unfiltered": 1, "filtered": 0},
    }
    assert found.rules == {"near_duplicate": 1, "wrong_label": 1, "blurry": 2}
    assert (found.dropped, found.kept, found.relabelled) == (1, 2, 1)
    assert found.digests == {name: training_set(collection, name).digest for name in NAMES}


def test_a_class_that_nothing_is_left_of_is_still_there(make: Make) -> None:
    assert compare(make(*FOUR, blurry=["a/1", "a/2"])).classes["a"] == {"unfiltered": 2, "filtered": 0}


def test_nothing_of_the_ledger_changes_the_table_on_disk(make: Make) -> None:
    collection = make(*FOUR)
    before = (collection.root / "images.parquet").read_bytes()
    decisions.relabel(collection, ["a/1"], "b")
    decisions.drop(collection, ["a/2"])
    training_set(collection, "filtered")
    assert (collection.root / "images.parquet").read_bytes() == before
    assert len(Ledger(collection).entries) == 2


@pytest.mark.parametrize(
    "other",
    [
        [image("a/1", "i1", "a"), image("a/2", "i3", "a")],  # other content
        [image("a/1", "i1", "a"), image("a/2", "i2", "b")],  # another label
        [image("a/1", "i1", "b"), image("a/2", "i2", "a")],
        [image("a/1", "i1", "a")],  # less
        [image("a/1", "i1", "a"), image("a/2", "i2", "a"), image("a/3", "i2", "a")],  # one more copy
    ],
)
def test_the_digest_tells_other_contents_and_labels(other: list[dict[str, Any]]) -> None:
    assert digest(pd.DataFrame([image("a/1", "i1", "a"), image("a/2", "i2", "a")])) != digest(pd.DataFrame(other))


def test_the_digest_is_the_one_that_records_of_earlier_versions_hold() -> None:
    """Raise records' format when this must change: stored sweeps would no longer go on."""
    assert digest(pd.DataFrame([image("a/1", "i1", "a"), image("b/1", "i2", "b")])) == "c3b52bbc07840866"
