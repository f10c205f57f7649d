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

from curate.collection import yoga82
from curate.foundation import resources, yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.sentences import unknown
from curate.foundation.yaml_files import Entry

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
        found = yaml_files.read(file, expected="name another --grammar")
        if found is None or not found.is_mapping:
            raise UsageError(
                f"{file} is no grammar: it must map {', '.join(_ENTRIES)}, as data/synthetic_prompts.yaml does"
            )
        return _grammar(found)

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


def _grammar(found: Entry) -> Grammar:
    told = found.mapping("the grammar", _ENTRIES, "entry")
    if missing := [name for name in ("slots", "templates") if name not in told]:
        raise found.wrong(f"the grammar lacks {missing[0]}")
    slots = _slots(told["slots"])
    templates = _templates(told["templates"], slots)
    negative = told["negative"].plain() if "negative" in told else ""
    if not isinstance(negative, str):
        raise told["negative"].wrong(f"negative must be a text but is {negative!r}")
    names = _names(told["names"]) if "names" in told and not told["names"].is_null else {}
    return Grammar(templates, slots, " ".join(negative.split()), names)


def _slots(given: Entry) -> dict[str, tuple[str, ...]]:
    if not given.is_mapping or _POSE not in given.mapping():
        raise given.wrong("slots must map pose, and any others, to lists of their values")
    slots = {slot: _values(f"slot {slot}", values) for slot, values in given.mapping().items()}
    poses = given.mapping()[_POSE]
    for place, form in zip(poses.items(), slots[_POSE], strict=True):
        fields = _fields(place, "slot pose", form)
        if others := fields - {"english", "sanskrit"}:
            raise place.wrong(f"slot pose: {{{min(others)}}} is unknown; known are {_ENGLISH} and {_SANSKRIT}")
        if not fields:
            raise place.wrong(f"slot pose: {form!r} does not name the pose; write {_ENGLISH} where it goes")
    if all(_SANSKRIT in form for form in slots[_POSE]):
        raise poses.wrong(f"slot pose: one value at least must do without {_SANSKRIT}, which not all classes have")
    return slots


def _values(where: str, given: Entry) -> tuple[str, ...]:
    if not given.is_list or not given.items():
        raise given.wrong(f"{where} must be a list of at least one value")
    values = [_text(f"{where}: a value", one) for one in given.items()]
    if len(set(values)) < len(values):
        raise given.wrong(f"{where} holds {max(values, key=values.count)!r} twice")
    return tuple(values)


def _text(where: str, given: Entry) -> str:
    text = given.plain()
    if not isinstance(text, str) or not text.strip():
        raise given.wrong(f"{where} must be a text but is {text!r}")
    return text


def _templates(given: Entry, slots: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    if not given.is_mapping or given.mapping().keys() != set(TEMPLATES):
        raise given.wrong(f"templates must be {', '.join(TEMPLATES)}, and no others")
    templates: dict[str, str] = {}
    used: set[str] = set()
    for name, place in given.mapping().items():
        templates[name] = _text(f"template {name}", place)
        fields = _fields(place, f"template {name}", templates[name])
        if others := sorted(fields - slots.keys()):
            raise place.wrong(f"template {name}: {unknown('slot', others[0], slots)}")
        if _POSE not in fields:
            raise place.wrong(f"template {name} does not say {{pose}}")
        used |= fields
    if unused := sorted(slots.keys() - used):
        raise given.wrong(f"unknown slot {unused[0]!r}: no template has {{{unused[0]}}}")
    return templates


def _fields(place: Entry, where: str, text: str) -> set[str]:
    """The names in braces. Raises UsageError for braces that hold anything else."""
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise place.wrong(f"{where}: {text!r}: {error}") from None
    for _, field, form, conversion in parts:
        if form or conversion or not re.fullmatch(r"\w+", field or ""):
            raise place.wrong(f"{where}: {text!r}: only the name of a slot may stand in braces")
    return {str(part[1]) for part in parts}


def _names(given: Entry) -> dict[str, Name]:
    if not given.is_mapping:
        raise given.wrong(f"names must map labels to english and sanskrit but is {given.shown()}")
    names = {}
    for label, told in given.mapping().items():
        parts = told.plain() if told.is_mapping else {"english": told.plain()}
        known = parts.keys() <= {"english", "sanskrit"} and all(isinstance(part, str) for part in parts.values())
        if not known or not parts.get("english", "").strip():
            raise told.wrong(f"names: {label}: expected {{english: ..., sanskrit: ...}} but found {told.shown()}")
        names[_plain(label)] = Name(**parts)
    return names
