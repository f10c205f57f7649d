"""Prompts are balanced, whatever their number, and short enough for CLIP; a wrong grammar is told in a sentence."""

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import open_clip
import pytest
import yaml
from hypothesis import given, settings

from curate.body.poses import shipped
from curate.collection import yoga82
from curate.foundation import resources
from curate.foundation.errors import UsageError
from synth.generate.prompts import CONTROL, FREE, SOURCE, TEMPLATES, Grammar

SHIPPED = Grammar.load()
SMALL: dict[str, dict[str, Any]] = {
    "templates": {FREE: "{pose}|{a}|{b}|{c}", CONTROL: "{pose}", SOURCE: "{pose}"},
    "slots": {"pose": ["{english}", "{sanskrit}"], "a": list("abc"), "b": list("defg"), "c": list("hijk")},
}
CLIP_TOKENS = 77


def grammar(tmp_path: Path, **changes: Any) -> Grammar:
    path = tmp_path / "grammar.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return Grammar.load(str(path))


@pytest.fixture
def small(tmp_path: Path) -> Grammar:
    return grammar(tmp_path)


@given(count=st.integers(1, 90), seed=st.integers(-(2**70), 2**70), label=st.sampled_from(["tree", "plank", "Ω mega"]))
@settings(max_examples=40, deadline=None)
def test_among_the_first_n_every_value_occurs_equally_often(count: int, seed: int, label: str) -> None:
    prompts = [SHIPPED.prompt(label, index, seed) for index in range(count)]
    for slot, values in SHIPPED.slots.items():
        if slot == "pose":
            continue
        counts = [sum(bool(re.search(rf"\b{re.escape(value)}\b", prompt)) for prompt in prompts) for value in values]
        if slot == "who":  # "man" is in no "woman" as a word of its own
            assert sum(counts) == count
        assert set(counts) <= {count // len(values), -(-count // len(values))}, (slot, counts)


def test_the_names_of_a_pose_are_balanced_too(small: Grammar) -> None:
    assert Counter(small.prompt("tree", i, 0).split("|")[0] for i in range(20)) == {"Tree": 10, "Vrksasana": 10}


def test_no_value_is_tied_to_another(small: Grammar) -> None:
    """Of slots as long as each other, too, every pair occurs about as often: 1000 images, 16 pairs, 62.5 each."""
    told = [small.prompt("tree", index, 3).split("|") for index in range(1000)]
    for one, other in itertools.combinations(range(1, 4), 2):
        pairs = Counter((prompt[one], prompt[other]) for prompt in told)
        expected = 1000 / (len(SMALL["slots"]["abc"[one - 1]]) * len(SMALL["slots"]["abc"[other - 1]]))
        assert all(0.6 * expected < pairs[pair] < 1.4 * expected for pair in pairs), pairs
        assert len(pairs) == round(1000 / expected)


def test_a_prompt_depends_on_label_index_and_seed_alone(small: Grammar) -> None:
    forwards = [small.prompt("tree", index, 0) for index in range(30)]
    assert [small.prompt("tree", index, 0) for index in reversed(range(30))] == forwards[::-1]
    assert forwards != [small.prompt("tree", index, 1) for index in range(30)]
    assert [text.split("|")[1:] for text in forwards] != [
        small.prompt("plank", index, 0).split("|")[1:] for index in range(30)
    ]


def test_classes_are_named_in_english_and_sanskrit() -> None:
    told = {SHIPPED.prompt("Tree_Pose_or_Vrksasana_", index, 0, SOURCE) for index in range(3)}
    assert len(told) == 3
    assert any("Vrksasana" in prompt and "Tree" in prompt for prompt in told)
    assert "Utkata Konasana" in "".join(SHIPPED.prompt("goddess", index, 0) for index in range(3))
    for name in shipped():
        assert SHIPPED.name(name).sanskrit


def test_a_class_that_nobody_knows_goes_by_its_label() -> None:
    told = {SHIPPED.prompt("flying_carpet_pose", index, 0, SOURCE) for index in range(8)}
    assert told == {"a photo of a person doing the flying carpet yoga pose, full body"}


@pytest.mark.parametrize("label", ["___", "4711", "-- !"])
def test_a_class_without_a_name_is_named_in_the_error(label: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(label))):
        SHIPPED.prompt(label, 0, 0)


def test_a_grammar_can_name_it(tmp_path: Path) -> None:
    own = grammar(tmp_path, names={4711: "Sleeping Cat", "tree": {"english": "Oak"}})
    assert own.prompt("4711", 0, 0, SOURCE) == "Sleeping Cat"
    assert own.prompt("Tree", 0, 0, SOURCE) == "Oak"


def test_a_given_view_and_a_given_person_are_not_contradicted() -> None:
    for index in range(30):
        controlled, tailored = SHIPPED.prompt("tree", index, 0, CONTROL), SHIPPED.prompt("tree", index, 0, SOURCE)
        assert not any(view in controlled for view in SHIPPED.slots["view"])
        assert not any(
            value in tailored for slot in ("age", "clothing", "place", "view", "light") for value in SHIPPED.slots[slot]
        )


def test_the_longest_prompt_of_every_class_fits_into_clip() -> None:
    tokens = open_clip.tokenizer.SimpleTokenizer()
    longest = {
        slot: max(values, key=lambda value: len(tokens.encode(value)))
        for slot, values in SHIPPED.slots.items()
        if slot != "pose"
    }
    names = [SHIPPED.name(pose.folder) for pose in yoga82.poses()]
    for template, name, form in itertools.product(TEMPLATES, names, SHIPPED.slots["pose"]):
        text = SHIPPED.templates[template].replace("{pose}", form)
        text = text.replace("{english}", name.english).replace("{sanskrit}", name.sanskrit)
        for slot, value in longest.items():
            text = text.replace(f"{{{slot}}}", value)
        assert "{" not in text
        assert len(tokens.encode(text)) + 2 < CLIP_TOKENS, text
    assert len(tokens.encode(SHIPPED.negative)) + 2 < CLIP_TOKENS


def test_the_digest_is_of_the_words_not_of_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "other name.yaml"
    copy.write_text("# a remark\n" + resources.path("synthetic_prompts.yaml").read_text())
    assert Grammar.load(str(copy)).digest == SHIPPED.digest
    assert grammar(tmp_path).digest != SHIPPED.digest
    assert grammar(tmp_path).digest != grammar(tmp_path, negative="hands").digest
    assert grammar(tmp_path, negative=" two \n lines ").negative == "two lines"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slots": {"pose": ["{english}"], "a": []}}, "slot a must be a list of at least one value"),
        ({"slots": {"pose": ["{english}"], "a": "abc"}}, "slot a must be a list"),
        ({"slots": {"pose": ["{english}"], "a": ["x", 3]}}, "a value must be a text but is 3"),
        ({"slots": {"pose": ["{english}"], "a": ["x", "x"]}}, "holds 'x' twice"),
        ({"slots": {"a": ["x"]}}, "slots must map pose"),
        ({"slots": SMALL["slots"] | {"d": ["x"]}}, "unknown slot 'd': no template"),
        ({"slots": {"pose": ["{sanskrit}"]}}, "must do without {sanskrit}"),
        ({"slots": {"pose": ["{german}"]}}, "{german} is unknown"),
        ({"slots": {"pose": ["upside down"]}}, "does not name the pose"),
        (
            {"templates": SMALL["templates"] | {FREE: "{pose} {hat}"}},
            "there is no slot 'hat'; there are a, b, c, pose",
        ),
        ({"templates": SMALL["templates"] | {FREE: "{a}"}}, "does not say {pose}"),
        ({"templates": SMALL["templates"] | {FREE: "{pose.x}"}}, "only the name of a slot"),
        ({"templates": SMALL["templates"] | {FREE: "{pose"}}, "{pose"),
        ({"templates": {FREE: "{pose}"}}, "templates must be free, control, source"),
        ({"negative": 3}, "negative must be a text"),
        ({"names": {"tree": {"german": "Baum"}}}, "names: tree: expected"),
        ({"names": ["tree"]}, "names must map"),
        ({"weather": ["rain"]}, "there is no entry 'weather'"),
    ],
)
def test_a_wrong_grammar_is_told_in_one_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as told:
        grammar(tmp_path, **changes)
    assert said in str(told.value)
    assert "grammar.yaml, line " in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "line 1: this is no YAML"),
        ("", "is no grammar"),
        ("- a", "is no grammar"),
        ("slots: 1", "lacks templates"),
    ],
)
def test_what_is_no_yaml_or_no_grammar(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=said) as told:
        Grammar.load(str(path))
    assert "\n" not in str(told.value)


def test_a_grammar_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Grammar.load(str(tmp_path / "none.yaml"))
