"""What a class is called, and in which sentences."""

import pytest

from curate.errors import UsageError
from fewshot.prompts import class_texts, class_words, templates


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
