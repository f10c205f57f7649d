"""What a class is called, and the sentences that say so.

A class is called by its description, where there is one: a wording, or several that are averaged as templates are.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from curate.collection import yoga82
from curate.foundation import resources, yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.yaml_files import Entry
from fewshot.sweeping.settings import SweepSettings

DEFAULT = "paper"

Descriptions = Mapping[str, tuple[str, ...]]  # by label, the wordings that replace its words


def class_words(label: str) -> str:
    """The words for a label: the English name of a Yoga-82 pose, else the label with spaces for underscores."""
    pose = yoga82.find(label)
    return pose.english if pose else " ".join(label.replace("_", " ").split())


def wordings(label: str, described: Descriptions) -> tuple[str, ...]:
    """What a class is called: its description, else its words."""
    return described.get(label) or (class_words(label),)


def templates(asked: tuple[str, ...]) -> tuple[str, ...]:
    """The templates asked for: names from data/prompts.yaml, or sentences with {} where the class's words go.

    Raises UsageError for a sentence without {} that is no name either.
    """
    found: list[str] = []
    for prompt in asked or (DEFAULT,):
        if prompt in _named():
            found += _named()[prompt]
        elif "{}" in prompt:
            found.append(prompt)
        else:
            raise UsageError(
                f"--prompt {prompt!r} says not where the class's words go: write {{}} there, "
                f"or name one of {', '.join(_named())}"
            )
    return tuple(dict.fromkeys(found))


def class_texts(
    classes: tuple[str, ...], asked: tuple[str, ...], described: Descriptions | None = None
) -> tuple[tuple[str, ...], ...]:
    """For each class, its prompts: every sentence with each of its wordings, none twice."""
    sentences = templates(asked)
    return tuple(
        tuple(dict.fromkeys(s.replace("{}", words) for words in wordings(label, described or {}) for s in sentences))
        for label in classes
    )


def of_sweep(classes: tuple[str, ...], settings: SweepSettings) -> tuple[tuple[str, ...], ...]:
    """For each class, its prompts in a sweep of these settings."""
    return class_texts(classes, settings.clip.prompts, settings.clip.descriptions)


def wordings_to_json(classes: tuple[str, ...], settings: SweepSettings) -> list[str | list[str]]:
    """What each class is called, for sweep.json: its words, or a list of several wordings."""
    called = [wordings(label, settings.clip.descriptions) for label in classes]
    return [words[0] if len(words) == 1 else list(words) for words in called]


def descriptions_from_json(classes: Iterable[str], texts: Iterable[str | list[str]]) -> dict[str, tuple[str, ...]]:
    """The descriptions that `wordings_to_json` wrote: of each class that is not called by its own words."""
    called = {
        label: (each,) if isinstance(each, str) else tuple(each) for label, each in zip(classes, texts, strict=True)
    }
    return {label: words for label, words in called.items() if words != (class_words(label),)}


def check(settings: SweepSettings, labels: Iterable[str]) -> None:
    """Raises UsageError for a sentence without {}, and for a description of a label that is not among `labels`."""
    templates(settings.clip.prompts)
    known = sorted(set(labels))
    if unknown := [label for label in settings.clip.descriptions if label not in known]:
        raise UsageError(f"--descriptions: the collection has no {', '.join(unknown)}; it has {', '.join(known)}")


def read_descriptions(path: Path) -> dict[str, tuple[str, ...]]:
    """Label -> wordings, of a YAML file. Raises UsageError, in one sentence, for the first mistake in it."""
    found = yaml_files.read(path, "--descriptions", _EXPECTED)
    if found is None or not found.is_mapping or not found.pairs():
        raise UsageError(f"--descriptions {path} describes no class; {_EXPECTED}")
    return descriptions(found)


def descriptions(found: Entry, where: str = "") -> dict[str, tuple[str, ...]]:
    """Label -> wordings, each in one line. Raises UsageError, with file and line, for the first mistake.

    where: in front of the label in the sentence.
    """
    return {_label(label): _wordings(f"{where}{label.written}", value) for label, value in found.pairs()}


_EXPECTED = "write, for each label, LABEL: WORDS, or a list of several wordings"


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


@cache
def _named() -> dict[str, list[str]]:
    result: dict[str, list[str]] = resources.load("prompts.yaml")
    return result
