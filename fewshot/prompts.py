"""What a class is called, and the sentences that say so."""

from functools import cache

import yaml

from curate import resources, yoga82
from curate.errors import UsageError

DEFAULT = "paper"


def class_words(label: str) -> str:
    """The words for a label: the English name of a Yoga-82 pose, else the label with spaces for underscores."""
    pose = yoga82.find(label)
    return pose.english if pose else " ".join(label.replace("_", " ").split())


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


def class_texts(classes: tuple[str, ...], asked: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each class, its prompts."""
    sentences = templates(asked)
    return tuple(tuple(sentence.replace("{}", class_words(label)) for sentence in sentences) for label in classes)


@cache
def _named() -> dict[str, list[str]]:
    return yaml.safe_load(resources.path("prompts.yaml").read_text())
