"""What a class is called, and the sentences that say so.

A class is called by its description, where there is one: a wording, or several that are averaged as templates are.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from curate.collection import yoga82
from curate.foundation import resources
from curate.foundation.errors import UsageError
from fewshot import yaml_file
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
    return class_texts(classes, settings.prompts, settings.descriptions)


def told(classes: tuple[str, ...], settings: SweepSettings) -> list[str | list[str]]:
    """What each class is called, for sweep.json: its words, or a list of several wordings."""
    called = [wordings(label, settings.descriptions) for label in classes]
    return [words[0] if len(words) == 1 else list(words) for words in called]


def recalled(classes: Iterable[str], texts: Iterable[str | list[str]]) -> dict[str, tuple[str, ...]]:
    """The descriptions behind what `told` said: of each class that is not called by its own words."""
    called = {
        label: (each,) if isinstance(each, str) else tuple(each) for label, each in zip(classes, texts, strict=True)
    }
    return {label: words for label, words in called.items() if words != (class_words(label),)}


def check(settings: SweepSettings, labels: Iterable[str]) -> None:
    """Raises UsageError for a sentence without {}, and for a description of a label that is not among `labels`."""
    templates(settings.prompts)
    known = sorted(set(labels))
    if unknown := [label for label in settings.descriptions if label not in known]:
        raise UsageError(f"--descriptions: the collection has no {', '.join(unknown)}; it has {', '.join(known)}")


def read_descriptions(path: Path) -> dict[str, tuple[str, ...]]:
    """Label -> wordings, of a YAML file. Raises UsageError, in one sentence, for the first mistake in it."""
    content = yaml_file.content(path, "--descriptions", _EXPECTED)
    if not isinstance(content, dict) or not content:
        raise UsageError(f"--descriptions {path} describes no class; {_EXPECTED}")
    return descriptions(f"--descriptions {path}", content)


def descriptions(where: str, content: Mapping[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Label -> wordings, each in one line. Raises UsageError, which begins with `where`, for the first mistake."""
    return {_label(where, label): _wordings(f"{where}: {label}", value) for label, value in content.items()}


_EXPECTED = "write, for each label, LABEL: WORDS, or a list of several wordings"


def _label(where: str, label: Any) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int):  # YAML takes yes, off and 1.0 for something else
        raise UsageError(f"{where}: the label {label!r} is no text; put it in quotes")
    return str(label)


def _wordings(where: str, value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [value]
    if not several:
        raise UsageError(f"{where} is an empty list; leave the label out to have it called by its own words")
    for words in several:
        if not isinstance(words, str) or not words.strip():
            raise UsageError(f"{where} must be words, or a list of several wordings, not {value!r}")
    return tuple(dict.fromkeys(" ".join(words.split()) for words in several))


@cache
def _named() -> dict[str, list[str]]:
    return yaml.safe_load(resources.path("prompts.yaml").read_text())
