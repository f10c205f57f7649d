"""The figure of agreement is the one of the textbooks, over the images that two people judged without each other."""

import random
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from curate.collection.agreement import agreements, cohen_kappa
from curate.collection.directory import Collection
from curate.collection.ledger import Action, Entry, Ledger


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_scikit_learn_s(seed: int) -> None:
    chance = random.Random(seed)
    answers = [(chance.choice("abc"), chance.choice("abcd"[: 2 + seed % 3])) for _ in range(chance.randrange(2, 60))]
    expected = cohen_kappa_score(*zip(*answers, strict=True))
    assert cohen_kappa(answers) == pytest.approx(expected)


def test_of_one_answer_alone_kappa_is_not_defined() -> None:
    assert cohen_kappa([("drop", "drop")] * 5) is None
    assert cohen_kappa([("drop", "keep")] * 5) == 0


def said(who: str, **by_image: str) -> list[Entry]:
    made = []
    for id, what in by_image.items():
        label = "" if what in ("drop", "keep") else what
        action = Action.RELABEL if label else Action(what)
        made.append(Entry(action, id=id, label=label, who=who, over=()))
    return made


def test_only_images_that_both_judged_count_verdicts_and_labels_apart() -> None:
    ann = said("Ann", a="drop", b="keep", c="drop", d="keep") + said("Ann", a="tree")
    bob = said("Bob", a="drop", b="keep", c="keep", e="drop") + said("Bob", a="plank")
    labels, verdicts = agreements([*ann, *bob])
    assert (verdicts.people, verdicts.on, verdicts.images, verdicts.alike) == (("Ann", "Bob"), "verdict", 3, 2)
    assert verdicts.kappa == pytest.approx(cohen_kappa_score(["drop", "keep", "drop"], ["drop", "keep", "keep"]))
    assert (labels.on, labels.images, labels.alike, labels.kappa) == ("label", 1, 0, 0)
    assert verdicts.sentence() == (
        "agreement of Ann and Bob: of 3 images that both dropped or kept, 2 alike (67%); Cohen's kappa 0.40 (n = 3)"
    )


def test_a_word_that_was_said_in_view_of_the_other_s_is_no_judgement_of_its_own(tmp_path: Path) -> None:
    ledger = Ledger(Collection.create(tmp_path / "c"))
    ledger.append(said("Ann", a="drop", b="drop") + said("Bob", a="keep"))
    before = agreements(ledger.effective())
    for id in "ab":  # settles a, overrules b
        ledger.append(ledger.decided(Action.KEEP, {id: id}, who="Bob", by="command"))
        ledger.append(ledger.decided(Action.DROP, {id: id}, who="Ann", by="command"))
    assert agreements(ledger.effective()) == before
    assert [(each.images, each.alike) for each in before] == [(1, 0)]


def test_lines_of_one_ledger_that_do_not_say_what_they_replace_are_no_two_judgements() -> None:
    one = Entry(Action.DROP, id="a", who="Ann", when="2026-01-01T00:00:00+00:00", entry="aaaaaaaaaaaa")
    two = Entry(Action.KEEP, id="a", who="Bob", when="2026-01-01T00:00:01+00:00", entry="bbbbbbbbbbbb")
    assert agreements([one, two]) == []
    assert [each.images for each in agreements([one, two], {"aaaaaaaaaaaa bbbbbbbbbbbb"})] == [1]
