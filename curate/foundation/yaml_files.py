"""The one reader of YAML files that people write: what it refuses, it names with file and line.

A file is read into `Entry` objects, each a value that knows where it stands. What a program asks of a file (which keys
there are, what a value may be) is then asked of entries, and `Entry.wrong` says the mistake.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curate.foundation.errors import UsageError
from curate.foundation.sentences import unknown

_MERGE = "tag:yaml.org,2002:merge"  # <<: the entries of another mapping
_PLAIN = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}  # other mappings and lists are Python's, or sets
_Pair = tuple[yaml.Node, yaml.Node]  # key and value

_MOST_DEPTH = 50  # lists and mappings within each other
_MOST_NODES = 100_000  # values of a file, what an *alias repeats counted each time: a page can stand for billions
_MOST_NUMBER = 10**30
_SHOWN = 80  # characters of a value in a sentence


def read(path: Path, option: str = "", expected: str = "") -> "Entry | None":
    """What a file holds; None where it holds nothing.

    option: the flag that named the file, for the sentence.  expected: how the sentence ends, where the file is no YAML.
    Raises UsageError for a file that cannot be read, is no YAML, or names something twice.
    """
    named = f"{option} {path}".strip()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{named} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{named}, line {line}: this is no text in UTF-8{_ending(expected)}") from error
    return parse(text, named, expected)


def parse(text: str, named: str, expected: str = "") -> "Entry | None":
    """As `read`, of a text. named: what the sentences call the file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{named}, line {line}: this is no YAML ({error.problem}){_ending(expected)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{named}, line {line}: this is no YAML ({error.reason}){_ending(expected)}") from error
    except RecursionError:
        line = _too_deep(text)
        raise UsageError(f"{named}, line {line}: this is nested too deeply{_ending(expected)}") from None
    if root is None:
        return None
    found = Entry(named, root)
    _check(found, {})
    return None if found.is_null else found


def _too_deep(text: str) -> int:
    """The line where a text is nested too deeply, from 1."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):  # does not call itself
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH and event.start_mark is not None:
            return event.start_mark.line + 1
    return 1


@dataclass(frozen=True, eq=False)
class Entry:
    """A value in a file, and where it stands."""

    file: str  # what the sentences call it
    node: yaml.Node

    @property
    def line(self) -> int:
        """From 1."""
        return self.node.start_mark.line + 1

    def wrong(self, what: str) -> UsageError:
        """The error that says what is wrong here, with file and line."""
        return UsageError(f"{self.file}, line {self.line}: {what}")

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def written(self) -> str:
        """A single value as it was written: `yes`, `1e-5` and `007` are those words. "" for a list or a mapping."""
        return self.node.value if isinstance(self.node, yaml.ScalarNode) else ""

    @property
    def is_null(self) -> bool:
        return self.node.tag == "tag:yaml.org,2002:null"

    def items(self, what: str = "") -> list["Entry"]:
        """Those of a list. Raises UsageError: "`what` must be a list"."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"{what or 'this'} must be a list, not {self.shown()}")
        return [Entry(self.file, node) for node in self.node.value]

    def pairs(self, what: str = "") -> list[tuple["Entry", "Entry"]]:
        """Keys and values of a mapping, in order. Raises UsageError: "`what` should hold lines of NAME: VALUE"."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"{what or 'this'} should hold lines of NAME: VALUE, not {self.shown()}")
        pairs = {key.value: (key, value) for key, value in _merged(self.file, self.node)}
        return [(Entry(self.file, key), Entry(self.file, value)) for key, value in pairs.values()]

    def mapping(self, what: str = "", known: Iterable[str] | None = None, each: str = "key") -> dict[str, "Entry"]:
        """Values by name, as it is written. Raises UsageError for what is no mapping, or has a name not in `known`.

        each: what a name stands for: "there is no `each` 'shot'".
        """
        names = None if known is None else list(known)
        for key, _ in self.pairs(what):
            if names is not None and key.written not in names:
                raise key.wrong(unknown(each, key.written, names))
        return {key.written: value for key, value in self.pairs(what)}

    def plain(self) -> Any:
        """What YAML takes it for: None, truth values, numbers, texts, lists, mappings with keys of these kinds."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self.node)
        finally:
            loader.dispose()

    def shown(self) -> str:
        """As it would be written in Python, for sentences."""
        return _short(repr(self.plain()))


def _check(entry: Entry, sizes: dict[yaml.Node, int], inside: tuple[yaml.Node, ...] = ()) -> int:
    """How many values an entry stands for.

    Raises UsageError for a name that stands twice or is no single value, for a value that cannot be made, for an *alias
    of what it stands in, and for too many or too deep. sizes: of what was checked; inside: what `entry` stands in.
    """
    if entry.node in inside:
        raise Entry(entry.file, inside[-1]).wrong("something here holds itself")
    if len(inside) > _MOST_DEPTH:
        raise entry.wrong("this is nested too deeply")
    if entry.node not in sizes:
        parts = _parts(entry)
        size = 1 + sum(_check(part, sizes, (*inside, entry.node)) for part in parts)
        if size > _MOST_NODES:
            raise entry.wrong("this stands for too many values")
        sizes[entry.node] = size
        if isinstance(entry.node, yaml.MappingNode):
            list(_merged(entry.file, entry.node))
    return sizes[entry.node]


def _parts(entry: Entry) -> list[Entry]:
    """What a mapping or a list holds, names included. Raises UsageError as `_check`, for this node alone."""
    if isinstance(entry.node, yaml.CollectionNode) and entry.node.tag not in _PLAIN:
        raise entry.wrong(f"{_kind(entry)} is nothing that may stand here")
    if isinstance(entry.node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in entry.node.value:
            place = Entry(entry.file, key)
            if not isinstance(key, yaml.ScalarNode):
                raise place.wrong("a name is plain text")
            if key.value in names:
                raise place.wrong(f"{key.value} stands here twice")
            names.add(key.value)
        return [Entry(entry.file, node) for pair in entry.node.value for node in pair]
    if isinstance(entry.node, yaml.SequenceNode):
        return entry.items()
    if entry.node.tag != _MERGE:
        _check_scalar(entry)
    return []


def _check_scalar(entry: Entry) -> None:
    written = _short(repr(entry.written))
    try:
        value = entry.plain()
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):  # !!int many, 2024-13-45, !!python/...
        raise entry.wrong(f"{written} is no {_kind(entry)}; put it in quotes if it is text") from None
    if isinstance(value, int | float) and not -_MOST_NUMBER <= value <= _MOST_NUMBER:  # .nan, .inf, 1e999, too
        raise entry.wrong(f"{written} is no number that can be used; put it in quotes if it is text")


def _kind(entry: Entry) -> str:
    return str(entry.node.tag).removeprefix("tag:yaml.org,2002:")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _merged(file: str, node: yaml.MappingNode) -> Iterator[_Pair]:
    """The entries of a mapping, behind those that `<<` takes in, which they replace."""
    for key, value in node.value:
        if key.tag == _MERGE:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise Entry(file, key).wrong("<< takes in the entries of another mapping")
                yield from _merged(file, source)
    yield from ((key, value) for key, value in node.value if key.tag != _MERGE)


def _ending(expected: str) -> str:
    return f"; {expected}" if expected else ""
