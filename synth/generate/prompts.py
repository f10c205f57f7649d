"""Prompts from a small grammar (data/synthetic_prompts.yaml): every value of a slot equally often, with any others.

The images of a class are counted in blocks as long as a slot has values. In every block each value stands once, in an
order of its own that a hash of seed, class, slot and block decides. So among the first n images of a class each of k
values occurs n/k times, rounded down or up, slots are independent of each other, and image i's prompt depends on
nothing but i.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from curate.collection import yoga82
from curate.foundation import resources
from curate.foundation.errors import UsageError

FREE, CONTROL, SOURCE = "free", "control", "source"
TEMPLATES = (FREE, CONTROL, SOURCE)  # for an image of its own, of a given skeleton, around a real photograph

_ENTRIES = ("templates", "slots", "negative", "names")
_POSE = "pose"  # the slot whose values are filled in for each class
_ENGLISH, _SANSKRIT = "{english}", "{sanskrit}"


@dataclass(frozen=True)
class Name:
    """What a class is called in a prompt. sanskrit: "" where it is not known."""

    english: str
    sanskrit: str = ""


@dataclass(frozen=True)
class Grammar:
    """Templates by name, the values of each slot, the negative prompt, and names of classes by their plain label."""

    templates: Mapping[str, str]
    slots: Mapping[str, tuple[str, ...]]
    negative: str
    names: Mapping[str, Name]

    @classmethod
    def load(cls, path: str = "") -> "Grammar":
        """Read a grammar file, or the one that fewpose ships. Raises UsageError for the first mistake in it."""
        file = Path(path) if path else resources.path("synthetic_prompts.yaml")
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{file} cannot be read ({error.strerror or error}); name another --grammar") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}") from None
        return _grammar(file.name, content)

    @property
    def digest(self) -> str:
        """16 hex digits over all that it says, however it is written down."""
        told = [dict(self.templates), dict(self.slots), self.negative, {k: vars(v) for k, v in self.names.items()}]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def name(self, label: str) -> Name:
        """What a class is called: by the grammar, by Yoga-82, or by its label in words.

        Raises UsageError where its label has no letter.
        """
        if given := self.names.get(_plain(label)):
            return given
        if pose := yoga82.find(label):
            return Name(pose.english, pose.sanskrit)
        words = re.sub(r"\s+pose$", "", " ".join(label.replace("_", " ").split()), flags=re.IGNORECASE)
        if not any(letter.isalpha() for letter in words):
            raise UsageError(
                f"the class {label!r} has no name to put in a prompt; give it one under `names` of a --grammar file"
            )
        return Name(words)

    def prompt(self, label: str, index: int, seed: int, template: str = FREE) -> str:
        """The prompt of image `index` of a class. Raises UsageError for a class without a name."""
        name = self.name(label)

        def value(slot: str) -> str:
            values = self.slots[slot]
            if slot == _POSE and not name.sanskrit:
                values = tuple(one for one in values if _SANSKRIT not in one)
            block, place = divmod(index, len(values))
            chosen = sorted(values, key=lambda one: _rank(seed, label, slot, block, one))[place]
            if slot == _POSE:
                chosen = chosen.replace(_ENGLISH, name.english).replace(_SANSKRIT, name.sanskrit)
            return chosen

        return re.sub(r"\{(\w+)\}", lambda found: value(found[1]), self.templates[template])


def _rank(seed: int, label: str, slot: str, block: int, value: str) -> bytes:
    return hashlib.blake2b("\0".join((str(seed), label, slot, str(block), value)).encode(), digest_size=16).digest()


def _plain(label: str) -> str:
    """Case, spaces, hyphens and underscores make no difference, nor does a final "pose"."""
    return re.sub(r"[\W_]+", "", label.casefold()).removesuffix("pose")


def _grammar(where: str, content: Any) -> Grammar:
    if not isinstance(content, dict):
        raise UsageError(
            f"{where} is no grammar: it must map {', '.join(_ENTRIES)}, as data/synthetic_prompts.yaml does"
        )
    if unknown := sorted(str(key) for key in content.keys() - set(_ENTRIES)):
        raise UsageError(f"{where}: unknown entry {unknown[0]!r}; known are {', '.join(_ENTRIES)}")
    slots = _slots(where, content.get("slots"))
    negative = content.get("negative", "")
    if not isinstance(negative, str):
        raise UsageError(f"{where}: negative must be a text but is {negative!r}")
    templates = _templates(where, content.get("templates"), slots)
    return Grammar(templates, slots, " ".join(negative.split()), _names(where, content.get("names") or {}))


def _slots(where: str, given: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, dict) or _POSE not in given:
        raise UsageError(f"{where}: slots must map pose, and any others, to lists of their values")
    slots = {str(slot): _values(f"{where}: slot {slot}", values) for slot, values in given.items()}
    for form in slots[_POSE]:
        if unknown := _fields(f"{where}: slot pose", form) - {"english", "sanskrit"}:
            raise UsageError(f"{where}: slot pose: {{{min(unknown)}}} is unknown; known are {_ENGLISH} and {_SANSKRIT}")
        if not _fields(where, form):
            raise UsageError(f"{where}: slot pose: {form!r} does not name the pose; write {_ENGLISH} where it goes")
    if all(_SANSKRIT in form for form in slots[_POSE]):
        raise UsageError(
            f"{where}: slot pose: one value at least must do without {_SANSKRIT}, which not all classes have"
        )
    return slots


def _values(where: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise UsageError(f"{where} must be a list of at least one value")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{where}: a value must be a text but is {value!r}")
    if len(set(values)) < len(values):
        raise UsageError(f"{where} holds {max(values, key=values.count)!r} twice")
    return tuple(values)


def _templates(where: str, given: Any, slots: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    if not isinstance(given, dict) or given.keys() != set(TEMPLATES):
        raise UsageError(f"{where}: templates must be {', '.join(TEMPLATES)}, and no others")
    used: set[str] = set()
    for name, template in given.items():
        if not isinstance(template, str):
            raise UsageError(f"{where}: template {name} must be a text but is {template!r}")
        fields = _fields(f"{where}: template {name}", template)
        if unknown := sorted(fields - slots.keys()):
            raise UsageError(f"{where}: template {name}: unknown slot {unknown[0]!r}; the slots are {', '.join(slots)}")
        if _POSE not in fields:
            raise UsageError(f"{where}: template {name} does not say {{pose}}")
        used |= fields
    if unused := sorted(slots.keys() - used):
        raise UsageError(f"{where}: unknown slot {unused[0]!r}: no template has {{{unused[0]}}}")
    return dict(given)


def _fields(where: str, text: str) -> set[str]:
    """The names in braces. Raises UsageError for braces that hold anything else."""
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise UsageError(f"{where}: {text!r}: {error}") from None
    for _, field, form, conversion in parts:
        if form or conversion or not re.fullmatch(r"\w+", field or ""):
            raise UsageError(f"{where}: {text!r}: only the name of a slot may stand in braces")
    return {str(part[1]) for part in parts}


def _names(where: str, given: Any) -> dict[str, Name]:
    if not isinstance(given, dict):
        raise UsageError(f"{where}: names must map labels to english and sanskrit but is {given!r}")
    names = {}
    for label, told in given.items():
        parts = told if isinstance(told, dict) else {"english": told}
        known = parts.keys() <= {"english", "sanskrit"} and all(isinstance(part, str) for part in parts.values())
        if not known or not parts.get("english", "").strip():
            raise UsageError(f"{where}: names: {label}: expected {{english: ..., sanskrit: ...}} but found {told!r}")
        names[_plain(str(label))] = Name(**parts)
    return names
