"""Descriptions: what classes are called instead of by their own words, as people write it in YAML."""

from pathlib import Path

from curate.foundation import yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.yaml_files import Entry

_EXPECTED = "write, for each label, LABEL: WORDS, or a list of several wordings"


def read(path: Path) -> dict[str, tuple[str, ...]]:
    """Label -> wordings, of a YAML file. Raises UsageError, in one sentence, for the first mistake in it."""
    found = yaml_files.read(path, "--descriptions", _EXPECTED)
    if found is None or not found.is_mapping or not found.pairs():
        raise UsageError(f"--descriptions {path} describes no class; {_EXPECTED}")
    return from_entry(found)


def from_entry(found: Entry, where: str = "") -> dict[str, tuple[str, ...]]:
    """Label -> wordings, each in one line. Raises UsageError, with file and line, for the first mistake.

    where: in front of the label in the sentence.
    """
    return {_label(label): _wordings(f"{where}{label.written}", value) for label, value in found.pairs()}


def _label(label: Entry) -> str:
    named = label.plain()
    if isinstance(named, bool) or not isinstance(named, str | int):  # YAML takes yes, off and 1.0 for something else
        raise label.wrong(f"the label {label.written} is no text for YAML ({named!r}); put it in quotes")
    return str(named)


def _wordings(label: str, value: Entry) -> tuple[str, ...]:
    several = [each.plain() for each in value.items()] if value.is_list else [value.plain()]
    if not several:
        raise value.wrong(f"{label} is an empty list; leave the label out to have it called by its own words")
    for words in several:
        if not isinstance(words, str) or not words.strip():
            raise value.wrong(f"{label} must be words, or a list of several wordings, not {value.shown()}")
    return tuple(dict.fromkeys(" ".join(words.split()) for words in several))
