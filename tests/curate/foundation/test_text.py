"""What may stand in a label, and what becomes of it on a terminal, in JSON and in a command to copy."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.foundation import text

UNSEEN = {
    "escape": "a\x1b[2Jb",
    "line end": "a\nb",
    "return": "a\rb",
    "C1 control": "a\x9b2Jb",
    "override of direction": "a\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "line separator": "a\u2028b",
    "byte order mark": "a\ufeffb",
    "half of a character": "a\udcfcb",
    "tag": "a\U000e0041b",
}
SEEN = ("Plånk / Phalakasana", "می‌خواهم", "🧘‍♀️", "木 の ポーズ", "木\u3000の", "a\xa0b", "-0.5", "")


@pytest.mark.parametrize("written", UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_seen_is_spelt_out(written: str) -> None:
    assert not text.is_seen(written)
    assert text.is_seen(text.shown(written))
    assert text.shown(written).startswith("a\\")


@pytest.mark.parametrize("written", SEEN)
def test_letters_and_emoji_of_all_languages_stay_as_they_are(written: str) -> None:
    assert text.is_seen(written)
    assert text.shown(written) == written
    assert json.dumps(written, ensure_ascii=False) == text.json_text(written)


def test_of_several_lines_only_the_ends_stay() -> None:
    assert text.shown_lines("a\x1b\nb\r\nc") == "a\\x1b\nb\\r\nc"


@pytest.mark.slow
@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_says_the_same_and_shows_all_of_it(value: object) -> None:
    written = text.json_text(value, indent=1)
    assert json.loads(written) == value
    assert text.is_seen(written.replace("\n", ""))


def printed(command: str, shell: str) -> list[bytes]:
    done = subprocess.run([shell, "-c", command], capture_output=True, check=True)
    return done.stdout.split(b"\0")[:-1]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("word", ["a b;$(touch x)'\"", "`id`", "*", "~", "#", "!!", "\\", "", "[a]", "é", "a\xa0b"])
def test_a_shell_reads_the_words_of_a_command_as_they_were(word: str, shell: str) -> None:
    command = text.command_line("printf", "%s\\0", word, "--last", 3)
    assert printed(command, shell) == [word.encode(), b"--last", b"3"]


@pytest.mark.parametrize("word", [*UNSEEN.values(), "'\\\x1b$(id)"])
def test_a_command_with_what_cannot_be_seen_is_seen_whole_and_read_as_it_was(word: str) -> None:
    command = text.command_line("printf", "%s\\0", word)
    assert text.is_seen(command)
    assert printed(command, "bash") == [os.fsencode(word)]


def test_a_path_is_never_an_option() -> None:
    assert text.command_line("curate", "status", Path("-x"), "--json") == "curate status ./-x --json"


def test_what_needs_no_quotes_has_none() -> None:
    assert text.command_line("curate", "status", Path("/data/runs/yoga-82")) == "curate status /data/runs/yoga-82"
