"""The settings of a collection's rules: COLLECTION/curation.yaml, which people read and edit.

The file names every rule with all its parameters, so a newer version with other defaults does not change what it
means. What it lacks (a rule or a parameter that came later) is added to it with the defaults of the day, and named on
the terminal.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from curate.checks.rules.rule import Rule
from curate.collection.directory import Collection
from curate.foundation import atomic, console, yaml_files
from curate.foundation.errors import FewposeError
from curate.foundation.sentences import unknown
from curate.foundation.yaml_files import Entry

NAME = "curation.yaml"

_HEAD = """\
# What `curate check` looks for in this collection. Change it, and check again.
#   enabled    whether the rule runs
#   drops      whether what it flags is left out of the training set `filtered`, unless a person keeps it
#   threshold  the score, from 0 (fine) to 1, from which on an image is flagged
"""
_SWITCHES = ("enabled", "drops")


@dataclass(frozen=True)
class Setting:
    """Of one rule."""

    enabled: bool
    drops: bool
    parameters: dict[str, float]


def load(collection: Collection, rules: Sequence[Rule[Any]], name: str = NAME, head: str = _HEAD) -> dict[str, Setting]:
    """The settings of each of `rules`, by name. Makes the file, or adds to it what it lacks.

    name: of the file in the collection.  head: what it begins with: comments.
    Raises UsageError with the line where the file makes no sense, FewposeError where it cannot be read.
    """
    path = collection.file(name)
    text = _read(path) if path.exists() else head
    found = _File(path, text).modern(rules)
    renamed, text = found.text != text, found.text
    found.check(rules)
    lacking = found.lacking(rules)
    if lacking or renamed or not path.exists():
        if lacking and path.exists():
            console.note(f"{path}: added {', '.join(lacking)}, with the defaults")
        text = found.completed(rules)
        found = _File(path, text)
        atomic.write_text(path, text)
    return {rule.name: found.setting(rule) for rule in rules}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FewposeError(f"{path} cannot be read ({error})") from error


class _File:
    """The text of a settings file: each rule's name and block, and the values in it."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises UsageError."""
        self.path, self.text = path, text
        found = yaml_files.parse(text, str(path))
        pairs = found.pairs("the file") if found else []
        self.rules = {name.written: (name, block) for name, block in pairs}
        self.values = {name: block.mapping(name) for name, (_, block) in self.rules.items()}

    def modern(self, rules: Sequence[Rule[Any]]) -> "_File":
        """With the rules that took the place of an earlier version's, switched as that one was; a note names them."""
        lines = self.text.splitlines()
        for former in sorted({rule.formerly for rule in rules} & self.rules.keys(), key=self._start, reverse=True):
            place, block = self.rules[former]
            now = [rule for rule in rules if rule.formerly == former]
            switches = {
                name: _value(former, name, self.values[former][name])
                for name in _SWITCHES
                if name in self.values[former]
            }
            names = ", ".join(rule.name for rule in now)
            console.note(f"{self.path}, line {place.line}: {former} is called {names} now; they are switched as it was")
            new = [line for rule in now if rule.name not in self.rules for line in ["", *_block(rule, switches)]]
            lines[self._start(former) : _last_line(block.node) + 1] = new[1:]
        return _File(self.path, "\n".join(lines) + "\n") if lines != self.text.splitlines() else self

    def _start(self, name: str) -> int:
        """The line of a rule, from 0, or that of the comment right above it."""
        lines, start = self.text.splitlines(), self.rules[name][0].line - 1
        return start - 1 if start and lines[start - 1].startswith("#") else start

    def check(self, rules: Sequence[Rule[Any]]) -> None:
        """Raises UsageError for what no rule has, and for values that it cannot have."""
        known = {rule.name: rule for rule in rules}
        for name, (place, block) in self.rules.items():
            if name not in known:
                raise place.wrong(unknown("rule", name, known))
            block.mapping(name, (*_SWITCHES, *known[name].parameters), f"parameter of {name} called")
            for parameter, value in self.values[name].items():
                _value(name, parameter, value)

    def lacking(self, rules: Sequence[Rule[Any]]) -> list[str]:
        """Names of rules, and RULE.PARAMETER where the rule is there."""
        return [
            name
            for rule in rules
            for name in (
                [f"{rule.name}.{name}" for name in _defaults(rule) if name not in self.values[rule.name]]
                if rule.name in self.rules
                else [rule.name]
            )
        ]

    def completed(self, rules: Sequence[Rule[Any]]) -> str:
        """The text with what it lacks; what is there stays as it was written. Raises UsageError."""
        lines = self.text.splitlines()
        added: list[str] = []
        inserted: list[tuple[int, str]] = []
        for rule in rules:
            if rule.name not in self.rules:
                added += ["", *_block(rule)]
                continue
            block = self.rules[rule.name][1]
            node = block.node
            lacking = {n: v for n, v in _defaults(rule).items() if n not in self.values[rule.name]}
            if lacking and not (isinstance(node, yaml.MappingNode) and node.value and not node.flow_style):
                raise block.wrong(f"{rule.name} lacks {', '.join(lacking)}; write a line for each, or remove it")
            mark = node.start_mark
            inserted += [(mark.line, " " * mark.column + f"{name}: {_shown(v)}") for name, v in lacking.items()]
        for line, text in reversed(inserted):
            lines.insert(line, text)
        return "\n".join([*lines, *added]) + "\n"

    def setting(self, rule: Rule[Any]) -> Setting:
        values = {name: _value(rule.name, name, given) for name, given in self.values[rule.name].items()}
        numbers = {name: float(values[name]) for name in rule.parameters}
        return Setting(bool(values["enabled"]), bool(values["drops"]), numbers)


def _value(rule: str, name: str, given: Entry) -> float | bool:
    shown = given.written if isinstance(given.node, yaml.ScalarNode) else "a list of things"
    value = given.plain()
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise given.wrong(f"{rule}: {name} is true or false, not {shown!r}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise given.wrong(f"{rule}: {name} is a number, not {shown!r}")
    elif name == "threshold" and not 0 <= value <= 1:
        raise given.wrong(f"{rule}: threshold is from 0 to 1, not {shown}")
    result: float | bool = value
    return result


def _defaults(rule: Rule[Any]) -> dict[str, float | bool]:
    return dict(zip(_SWITCHES, (True, rule.drops), strict=True)) | dict(rule.parameters)


def _block(rule: Rule[Any], switches: Mapping[str, float | bool] = MappingProxyType({})) -> list[str]:
    about = (inspect.getdoc(rule.run) or "").split("\n\n")[0].replace("\n", " ")
    values = [f"  {name}: {_shown(value)}" for name, value in (_defaults(rule) | dict(switches)).items()]
    return [f"# {rule.title}: {about}", f"{rule.name}:", *values]


def _last_line(node: yaml.Node) -> int:
    """Of a value, from 0. A block's own end is that of the comments behind it."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    return int(node.end_mark.line)


def _shown(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
