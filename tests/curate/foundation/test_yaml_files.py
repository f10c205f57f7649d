"""A mistake in a YAML file is one sentence that names file and line."""

from pathlib import Path

import pytest

from curate.foundation import yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.yaml_files import Entry


def parsed(text: str) -> Entry:
    found = yaml_files.parse(text, "a.yaml")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [", 1, "this is no YAML"),
        ("a: 1\n b: 2\n", 2, "this is no YAML"),
        ("a: 1\nb: \x07\n", 2, "this is no YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "a stands here twice"),
        ("a:\n  - {b: 1,\n     b: 2}\n", 3, "b stands here twice"),
        ("? [a, b]\n: 1\n", 1, "a name is plain text"),
        ("a: 1\nb: !!int many\n", 2, "'many' is no int"),
        ("a:\n  b: 2024-13-45\n", 2, "'2024-13-45' is no timestamp; put it in quotes if it is text"),
        ("a: !!python/name:os.system\n", 1, "is no python/name:os.system"),
        ("a: 1\nb: &b {<<: {<<: *b}}\n", 2, "something here holds itself"),
        ("a: 1\nb: &b [1, [*b]]\n", 2, "something here holds itself"),
        ("a: 1\nb: " + "1" * 5000, 2, "is no int; put it in quotes if it is text"),
        ("a: 1\nb: 0x" + "1" * 5000, 2, "is no number that can be used"),
        ("a: 1\nb: -" + "1" * 400, 2, "is no number that can be used"),
        ("a: .nan\n", 1, "'.nan' is no number that can be used"),
        ("a: [1,\n .inf]\n", 2, "'.inf' is no number that can be used"),
        ("a: 1\nb: 1.0e+999\n", 2, "'1.0e+999' is no number that can be used"),
        ("a: 1\nb: !!omap {c: 1}\n", 2, "omap is nothing that may stand here"),
        ("a: !!python/object:os.system {b: 1}\n", 1, "python/object:os.system is nothing that may stand here"),
        ("a: 1\nb: " + "[" * 60 + "]" * 60, 2, "this is nested too deeply"),
        ("a: 1\n<<: 3\n", 2, "<< takes in the entries of another mapping"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as error:
        yaml_files.parse(text, "a.yaml")
    assert str(error.value).startswith(f"a.yaml, line {line}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.slow
def test_brackets_without_end_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a\.yaml, line 2: this is nested too deeply"):
        yaml_files.parse("#\n" + "[" * 100_000, "a.yaml")


def test_a_page_that_stands_for_billions_of_values_is_refused_at_once() -> None:
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    with pytest.raises(UsageError, match=r"a\.yaml, line 16: this stands for too many values"):
        yaml_files.parse("\n".join(lines), "a.yaml")


def test_a_value_in_a_sentence_is_short() -> None:
    assert len(parsed(f"a: [{', '.join('1' * 1000)}]").mapping()["a"].shown()) < 100


def test_a_file_that_cannot_be_read_is_named_with_the_flag_that_named_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--poses .*none\.yaml cannot be read \(No such file or directory\)"):
        yaml_files.read(tmp_path / "none.yaml", "--poses")
    path = tmp_path / "words.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UsageError, match=r"words\.yaml, line 2: this is no text in UTF-8; write words"):
        yaml_files.read(path, expected="write words")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_a_file_that_holds_nothing_is_none(text: str) -> None:
    assert yaml_files.parse(text, "a.yaml") is None


def test_a_value_is_had_as_it_was_written_and_as_yaml_takes_it() -> None:
    values = parsed("{a: yes, b: 010, c: 1e-5, d: ~, e: [1, x], 7: {f: 2}}").mapping()
    assert {name: value.written for name, value in values.items()} == {
        "a": "yes",
        "b": "010",
        "c": "1e-5",
        "d": "~",
        "e": "",
        "7": "",
    }
    assert {name: value.plain() for name, value in values.items()} == {
        "a": True,
        "b": 8,
        "c": "1e-5",
        "d": None,
        "e": [1, "x"],
        "7": {"f": 2},
    }
    assert [item.written for item in values["e"].items()] == ["1", "x"]
    assert [name for name, value in values.items() if value.is_null] == ["d"]


def test_entries_of_another_mapping_are_taken_in_and_replaced() -> None:
    values = parsed("base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\n").mapping()["own"]
    assert values.plain() == {"a": 1, "b": 3}
    assert {name: value.written for name, value in values.mapping().items()} == {"a": "1", "b": "3"}


def test_an_unknown_key_is_named_with_the_nearest_and_all_there_are() -> None:
    with pytest.raises(UsageError) as error:
        parsed("splits: 3\nshot: 6\n").mapping("the file", ["sets", "shots", "splits"])
    assert str(error.value) == ("a.yaml, line 2: there is no key 'shot' (is it shots?); there are sets, shots, splits")
    with pytest.raises(UsageError, match=r"there is no rule 'q'; there are sets, shots"):
        parsed("q: 3\n").mapping("the file", ["sets", "shots"], "rule")


def test_a_mapping_and_a_list_that_are_none_are_named() -> None:
    with pytest.raises(UsageError, match=r"a\.yaml, line 2: a should hold lines of NAME: VALUE, not \[1\]"):
        parsed("a:\n  - 1\n").mapping()["a"].mapping("a")
    with pytest.raises(UsageError, match=r"a\.yaml, line 1: a must be a list, not 'x'"):
        parsed("a: x\n").mapping()["a"].items("a")
