"""What a class is called, and the sentences that say so.

A class is called by its description, where there is one: a wording, or several that are averaged as templates are.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from curate.collection import yoga82
from curate.foundation import resources
from curate.foundation.errors import UsageError
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


@cache
def _named() -> dict[str, list[str]]:
    result: dict[str, list[str]] = resources.load("prompts.yaml")
    return result
