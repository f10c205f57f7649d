"""The settings file says everything that it means, and a mistake in it is named with its line."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.checks import settings
from curate.checks.rules import RULES
from curate.checks.rules.rule import Rule
from curate.collection.directory import Collection
from curate.collection.findings import Kind
from curate.foundation.errors import FewposeError, UsageError


def rule(name: str, **parameters: float) -> Rule[Any]:
    def run(*_: object) -> pd.DataFrame:
        """What it looks for.

        And how.
        """
        return pd.DataFrame(columns=["key", "score"])

    return Rule(name, name.replace("_", " "), 1, Kind.QUALITY, True, {"threshold": 0.5, **parameters}, run)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "yoga")


def write(collection: Collection, text: str) -> None:
    (collection.root / "curation.yaml").write_text(text)


def read(collection: Collection) -> str:
    return (collection.root / "curation.yaml").read_text()


def test_the_file_is_made_with_every_rule_and_its_defaults(collection: Collection) -> None:
    found = settings.load(collection, RULES)
    assert {name: s.parameters for name, s in found.items()} == {r.name: dict(r.parameters) for r in RULES}
    assert {name: s.drops for name, s in found.items()} == {r.name: r.drops for r in RULES}
    assert all(s.enabled for s in found.values())
    written = read(collection)
    assert settings.load(collection, RULES) == found
    assert read(collection) == written


def test_each_rule_is_explained(collection: Collection) -> None:
    settings.load(collection, [rule("too_small")])
    assert "\n# too small: What it looks for.\ntoo_small:\n  enabled: true\n  drops: true\n" in read(collection)


def test_what_a_person_sets_counts(collection: Collection) -> None:
    write(collection, "dark:\n  enabled: no\n  drops: false\n  threshold: 1\n")
    assert settings.load(collection, [rule("dark")])["dark"] == settings.Setting(False, False, {"threshold": 1.0})


def test_another_default_of_a_newer_version_changes_nothing(collection: Collection) -> None:
    before = settings.load(collection, [rule("dark", least=3)])
    assert settings.load(collection, [rule("dark", least=7)]) == before


def test_a_rule_and_a_parameter_that_came_later_are_added_and_said(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        collection, "# mine\ndark:  # why\n    # deliberate\n    drops: false\n    threshold: 0.25\n    enabled: true\n"
    )
    found = settings.load(collection, [rule("dark", least=3, most=4.5), rule("bright")])
    assert found["dark"] == settings.Setting(True, False, {"threshold": 0.25, "least": 3.0, "most": 4.5})
    assert found["bright"] == settings.Setting(True, True, {"threshold": 0.5})
    assert "added dark.least, dark.most, bright, with the defaults" in capsys.readouterr().err
    text = read(collection)
    assert text.startswith("# mine\ndark:  # why\n    # deliberate\n")
    assert "    threshold: 0.25\n" in text
    settings.load(collection, [rule("dark", least=30, most=40), rule("bright")])
    assert read(collection) == text


def test_an_empty_file_gets_everything(collection: Collection) -> None:
    write(collection, "")
    assert settings.load(collection, [rule("dark")])["dark"].parameters == {"threshold": 0.5}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("dark:\n  threshold: 0.5\n\nfoggy:\n  drops: true\n", 4, "there is no rule 'foggy'; there are dark"),
        (
            "dark:\n  drops: true\n  treshold: 0.5\n",
            3,
            "there is no parameter of dark called 'treshold' (is it threshold?); there are enabled, drops, threshold",
        ),
        ("dark:\n  drops: 1\n", 2, "drops is true or false, not '1'"),
        ("dark:\n  threshold: true\n", 2, "threshold is a number, not 'true'"),
        ("dark:\n  threshold: high\n", 2, "threshold is a number, not 'high'"),
        ("dark:\n  threshold: .nan\n", 2, "'.nan' is no number that can be used"),
        ("dark:\n  threshold: [1]\n", 2, "threshold is a number"),
        ("dark:\n  threshold:\n", 2, "threshold is a number"),
        ("dark:\n  threshold: 50\n", 2, "threshold is from 0 to 1, not 50"),
        ("dark:\n  drops: true\n  drops: false\n", 3, "drops stands here twice"),
        ("dark:\n  drops: true\ndark:\n  drops: true\n", 3, "dark stands here twice"),
        ("dark: off\n", 1, "dark should hold lines of NAME: VALUE"),
        ("- dark\n", 1, "the file should hold lines of NAME: VALUE"),
        ("dark:\n  drops: true\n threshold: 1\n", 3, "this is no YAML"),
        ("dark: {drops: true}\n", 1, "dark lacks enabled, threshold"),
        ("? [a, b]\n: 1\n", 1, "a name is plain text"),
        ("dark:\n  threshold: !!python/object:os.system 1\n", 2, "'1' is no python/object:os.system"),
    ],
)
def test_a_mistake_is_named_with_its_line(collection: Collection, text: str, line: int, said: str) -> None:
    write(collection, text)
    with pytest.raises(UsageError) as error:
        settings.load(collection, [rule("dark")])
    assert f"curation.yaml, line {line}: " in str(error.value)
    assert said in str(error.value)
    assert read(collection) == text


def test_a_file_that_is_no_text_is_named(collection: Collection) -> None:
    (collection.root / "curation.yaml").write_bytes(b"\xff\xfe\x00dark")
    with pytest.raises(FewposeError, match=r"curation\.yaml cannot be read"):
        settings.load(collection, [rule("dark")])


OLD = """\
# what I want

# no person, or several: No person, or several, by torchvision's detector.
not_one_person:
  enabled: true
  drops: true
  threshold: 0.5
  smallest: 0.25

blurry:  # mine
  enabled: false
"""


def test_a_rule_of_an_earlier_version_is_what_it_is_called_now(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    path = collection.root / settings.NAME
    path.write_text(OLD)
    found = settings.load(collection, RULES)
    assert f"{path}, line 4: not_one_person is called no_person, several_people now" in capsys.readouterr().err
    assert [found[name].drops for name in ("no_person", "several_people", "cropped_body")] == [True, True, False]
    assert found["several_people"].parameters == {r.name: r for r in RULES}["several_people"].parameters
    assert not found["blurry"].enabled
    text = path.read_text()
    assert "not_one_person" not in text
    assert "torchvision" not in text
    assert text.startswith("# what I want\n\n# no person: ")
    assert "blurry:  # mine\n" in text
    assert settings.load(collection, RULES) == found
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("old", ["not_one_person: {enabled: false}\n", "not_one_person:\n  enabled: false"])
def test_that_it_was_off_stays_off(collection: Collection, old: str) -> None:
    (collection.root / settings.NAME).write_text(old)
    found = settings.load(collection, RULES)
    assert [found[name].enabled for name in ("no_person", "several_people", "small_person")] == [False, False, True]


def test_a_new_name_beside_the_old_one_counts(collection: Collection) -> None:
    (collection.root / settings.NAME).write_text("not_one_person:\n  drops: true\nno_person:\n  drops: false\n")
    found = settings.load(collection, RULES)
    assert [found[name].drops for name in ("no_person", "several_people")] == [False, True]
