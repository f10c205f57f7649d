"""JSON is read back as it was written, or refused in a clause; no flipped bit of a sealed object passes for content."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.foundation import json_files
from curate.foundation.json_files import NotJson

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text().filter(lambda name: name != json_files.SEAL)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)

TOLD = {"threshold": 0.25, "classes": ["bow", "Ärm's"], "mean": [0.5, 0.25, 0.125], "of": {"b": 1, "a": None}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is not JSON (line 1: Expecting value)"),
        (b'{"a": 1,\n"b": }', "it is not JSON (line 2: Expecting value)"),
        (b'{"a":\n"\xff"}', "it is not JSON (line 2 is no text in UTF-8)"),
        (b"{}\0", "it is not JSON (line 1: Extra data)"),
        ("{}".encode("utf-16"), "it is not JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"[" * 100 + b"]" * 100, "it is nested too deeply"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "it is nested too deeply"),
        (b"[1e999]", "1e999 is too large a number"),
        (b"[-1e999]", "-1e999 is too large a number"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number of JSON"),
        (b"[" + b"1" * 5000 + b"]", "a number of 5000 digits is too large"),
    ],
)
def test_what_no_program_should_have_to_bear_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(NotJson) as caught:
        json_files.parse(content)
    assert str(caught.value).startswith(why)


def test_many_lists_beside_each_other_are_not_deep() -> None:
    assert json_files.parse(json.dumps([[]] * 1000)) == [[]] * 1000


@pytest.mark.slow
@given(told=OBJECTS)
def test_an_object_is_read_as_it_was_written_as_a_file_and_as_a_line(
    told: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("json") / "told.json"
    json_files.write(path, told)
    assert json_files.read(path) == told
    line = json_files.line(told)
    assert line.count(b"\n") == 1
    assert json_files.parse_line(line) == told


def test_equal_objects_are_equal_bytes_whatever_their_order(tmp_path: Path) -> None:
    for name, told in (("one", {10: 1, 9: {"a": 1, "b": 2}}), ("other", {9: {"b": 2, "a": 1}, 10: 1})):
        json_files.write(tmp_path / name, told)  # type: ignore[arg-type]  # numbers as names, as JSON writes them
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert json_files.read(tmp_path / "one") == {"9": {"a": 1, "b": 2}, "10": 1}


def test_no_flipped_bit_of_a_file_passes_for_content(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    json_files.write(path, TOLD)
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            found = json_files.read(path)
        except NotJson:
            continue
        # What is left are bits of white space, and of the name of the checksum: nothing of the content.
        assert {name: found[name] for name in TOLD} == TOLD, place


def test_no_flipped_bit_of_a_line_passes_for_content() -> None:
    whole = json_files.line(TOLD).rstrip()
    for place in range(8 * len(whole)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        try:
            found = json_files.parse_line(bytes(content))
        except NotJson:
            continue
        assert {name: found[name] for name in TOLD} == TOLD, place


def test_without_a_seal_it_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(TOLD))
    assert json_files.read(tmp_path / "old.json") == TOLD
    assert json_files.parse_line(json.dumps(TOLD).encode() + b"\r\n") == TOLD


def test_who_changes_it_by_hand_is_told_what_to_do_and_that_does_it(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    json_files.write(path, TOLD)
    path.write_text(path.read_text().replace("0.25", "0.75", 1))
    with pytest.raises(NotJson, match='who changed it by hand takes out "checksum"'):
        json_files.read(path)
    lines = [line for line in path.read_text().splitlines() if "checksum" not in line]
    path.write_text("\n".join(lines))
    assert json_files.read(path)["threshold"] in (0.25, 0.75)


def test_an_editor_may_lay_a_line_out_anew() -> None:
    told = json.loads(json_files.line(TOLD))
    assert json_files.parse_line(json.dumps(told, indent=2, ensure_ascii=False).replace("\n", " ").encode()) == TOLD


@pytest.mark.parametrize("content", [b"[]", b"7", b"null", b'"text"'])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(NotJson, match="it is not a JSON object"):
        json_files.parse_object(content)


def test_half_a_character_is_refused_in_files_alone(tmp_path: Path) -> None:
    """A file's texts are shown and written again; a line of the journal may hold what a server sent."""
    content = b'{"a": "\\ud800"}'
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(NotJson, match="half a character"):
        json_files.read(tmp_path / "a.json")
    assert json_files.parse_line(content) == {"a": "\ud800"}


def test_an_entry_has_its_kind() -> None:
    told = {"whole": 1, "part": 0.5, "flag": True, "text": "a"}
    assert json_files.entry(told, "whole", float) == 1.0
    assert json_files.entry(told, "flag", bool) is True
    for name, kind, why in (
        ("none", int, "it lacks none"),
        ("flag", int, "its flag is not a whole number"),
        ("flag", float, "its flag is not a number"),
        ("part", int, "its part is not a whole number"),
        ("text", dict, "its text is not an object"),
    ):
        with pytest.raises(NotJson, match=why):
            json_files.entry(told, name, kind)
