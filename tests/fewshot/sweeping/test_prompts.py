"""What a class is called, and in which sentences."""

from pathlib import Path

import pytest
import yaml

from curate.foundation import resources
from curate.foundation.errors import UsageError
from fewshot.sweeping import descriptions
from fewshot.sweeping.prompts import (
    class_texts,
    class_words,
    descriptions_from_json,
    of_sweep,
    templates,
    wordings_to_json,
)
from fewshot.sweeping.settings import SweepSettings


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Tree_Pose_or_Vrksasana_", "tree"),
        ("vrksasana", "tree"),
        ("my_own  label", "my own label"),
        ("Größe", "Größe"),
        ("bars", "bars"),
    ],
)
def test_a_class_is_called_by_its_english_name_or_by_its_label(label: str, words: str) -> None:
    assert class_words(label).lower() == words.lower()


def test_the_papers_sentence_is_the_default() -> None:
    assert class_texts(("bars", "two_words"), ()) == (
        ("Image of a person doing the yoga pose bars",),
        ("Image of a person doing the yoga pose two words",),
    )


def test_named_templates_and_own_ones_make_one_ensemble_without_repetition() -> None:
    own = "somebody who is {}, {}!"
    found = templates(("ensemble", "paper", own, own))
    assert found == (*templates(("ensemble",)), own)
    assert len(templates(("ensemble",))) > 1
    assert class_texts(("bars",), (own,)) == (("somebody who is bars, bars!",),)


def test_asking_twice_for_templates_gives_the_same() -> None:
    first = templates(("paper", "short"))
    assert templates(("paper", "short")) == first
    assert len(templates(("paper",))) == 1


def test_braces_in_a_label_stay_as_they_are() -> None:
    assert class_texts(("{}x{0}",), ("a {} b",)) == (("a {}x{0} b",),)


@pytest.mark.parametrize("prompt", ["a photo of a pose", "", "{0}", "{ }"])
def test_a_sentence_that_does_not_say_where_the_class_goes_is_refused(prompt: str) -> None:
    with pytest.raises(UsageError, match=r"write \{\} there, or name one of paper, short, photo, ensemble"):
        templates((prompt,))


def test_a_description_replaces_the_words_of_its_class_and_of_no_other() -> None:
    own = {"tree": ("standing on one leg", "balancing, {} and all")}
    assert class_texts(("bars", "tree"), ("a {}", "{}!"), own) == (
        ("a bars", "bars!"),
        ("a standing on one leg", "standing on one leg!", "a balancing, {} and all", "balancing, {} and all!"),
    )


def test_wordings_that_come_to_the_same_sentence_count_once() -> None:
    assert class_texts(("bars",), ("a {}", "a {}"), {"bars": ("pole", "pole")}) == (("a pole",),)


def test_a_sweep_says_what_its_classes_are_called() -> None:
    asked = SweepSettings.of(
        Path("here"), Path("there"), prompts=("posture",), descriptions={"bars": ("lifting", "bending")}
    )
    assert wordings_to_json(("bars", "tree"), asked) == [["lifting", "bending"], class_words("tree")]
    assert (
        descriptions_from_json(("bars", "tree"), wordings_to_json(("bars", "tree"), asked)) == asked.clip.descriptions
    )
    assert of_sweep(("bars",), asked) == (("a photo of a person lifting", "a photo of a person bending"),)
    assert wordings_to_json(("bars",), SweepSettings.of(Path("here"), Path("there"))) == ["bars"]


def written(folder: Path, text: str) -> Path:
    path = folder / "words.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_descriptions_holds_words_or_lists_of_them(tmp_path: Path) -> None:
    text = "sitting: 'sitting,\n  at a desk '\n7: the seventh\nGröße:\n- tall\n- large\n- tall\n"
    assert descriptions.read(written(tmp_path, text)) == {
        "sitting": ("sitting, at a desk",),
        "7": ("the seventh",),
        "Größe": ("tall", "large"),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bars: [", "line 1: this is no YAML"),
        (
            "bars: a\nlow: \x00",
            "line 2: this is no YAML (special characters are not allowed); write, for each label, LABEL: WORDS",
        ),
        ("", "describes no class"),
        ("- bars", "describes no class"),
        ("bars:", "bars must be words, or a list of several wordings, not None"),
        ("bars: ' '", "bars must be words, or a list of several wordings, not ' '"),
        ("low: a\nbars: 3", "line 2: bars must be words, or a list of several wordings, not 3"),
        ("bars: {a: b}", "bars must be words, or a list of several wordings, not {'a': 'b'}"),
        ("bars: [lifting, '']", "bars must be words, or a list of several wordings, not ['lifting', '']"),
        ("bars: []", "bars is an empty list; leave the label out"),
        ("off: lifting", "the label off is no text for YAML (False); put it in quotes"),
    ],
)
def test_a_mistake_in_a_file_of_descriptions_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as mistake:
        descriptions.read(path)
    assert str(mistake.value).startswith(f"--descriptions {path}")
    assert sentence in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_the_descriptions_that_are_shipped_are_of_our_renderers_postures_and_name_none_twice() -> None:
    described = descriptions.read(resources.path("everyday_descriptions.yaml"))
    postures = yaml.safe_load(resources.path("everyday.yaml").read_text(encoding="utf-8"))
    assert described.keys() < postures.keys()
    called = [words for label in postures for words in described.get(label, (class_words(label),))]
    assert len(set(called)) == len(called)
