"""The settings of a collection's rules: COLLECTION/curation.yaml, which people read and edit.

The file names every rule with all its parameters, so a newer version with other defaults does not change what it
means. What it lacks (a rule or a parameter that came later) is added to it with the defaults of that day, and said.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from curate.checks.rules.rule import Rule
from curate.collection.directory import Collection
from curate.foundation import atomic, console
from curate.foundation.errors import FewposeError, UsageError

NAME = "curation.yaml"

_HEAD = """\
# What `curate check` looks for in this collection. Change it, and check again.
#   enabled    whether the rule runs
#   drops      whether what it flags is left out of the training set `filtered`, unless a person keeps it
#   threshold  the score, from 0 (fine) to 1, from which on an image is flagged
"""


@dataclass(frozen=True)
class Setting:
    """Of one rule."""

    enabled: bool
    drops: bool
    parameters: dict[str, float]


def load(collection: Collection, rules: Sequence[Rule], name: str = NAME, head: str = _HEAD) -> dict[str, Setting]:
    """The settings of each of `rules`, by name. Makes the file, or adds to it what it lacks.

    name: of the file in the collection.  head: what it begins with: comments.
    Raises UsageError with the line where the file makes no sense, FewposeError where it cannot be read.
    """
    path = collection.root / name
    text = _read(path) if path.exists() else head
    found = _File(path, text)
    found.check(rules)
    lacking = found.lacking(rules)
    if lacking or not path.exists():
        if path.exists():
            console.err.print(f"{path}: added {', '.join(lacking)}, with the defaults", markup=False, soft_wrap=True)
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
    """The text of a settings file, and where in it each rule and each of its values stands."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises UsageError."""
        self.path = path
        self.text = text
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UsageError(f"{path}, line {line}: this is no YAML ({error.problem})") from error
        except yaml.YAMLError as error:  # a character that YAML forbids
            raise UsageError(f"{path}: this is no YAML ({error})") from error
        self.rules = self._mapping(root, "the file") if root else {}
        self.values = {name: self._mapping(node, name) for name, (_, node) in self.rules.items()}

    def check(self, rules: Sequence[Rule]) -> None:
        """Raises UsageError for what no rule has, and for values that it cannot have."""
        known = {rule.name: rule for rule in rules}
        for name, (key, _) in self.rules.items():
            if name not in known:
                raise self._wrong(key, f"there is no rule {name!r}; there are {', '.join(known)}")
            allowed = ("enabled", "drops", *known[name].parameters)
            for parameter, (place, value) in self.values[name].items():
                if parameter not in allowed:
                    raise self._wrong(place, f"{name} has no {parameter!r}; it has {', '.join(allowed)}")
                self._value(name, parameter, value)

    def lacking(self, rules: Sequence[Rule]) -> list[str]:
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

    def completed(self, rules: Sequence[Rule]) -> str:
        """The text with what it lacks; what is there stays as it was written. Raises UsageError."""
        lines = self.text.splitlines()
        added: list[str] = []
        inserted: list[tuple[int, str]] = []
        for rule in rules:
            if rule.name not in self.rules:
                added += ["", *_block(rule)]
                continue
            _, node = self.rules[rule.name]
            lacking = {n: v for n, v in _defaults(rule).items() if n not in self.values[rule.name]}
            if lacking and not (isinstance(node, yaml.MappingNode) and node.value and not node.flow_style):
                raise self._wrong(node, f"{rule.name} lacks {', '.join(lacking)}; write a line for each, or remove it")
            mark = node.start_mark
            inserted += [(mark.line, " " * mark.column + f"{name}: {_shown(v)}") for name, v in lacking.items()]
        for line, text in reversed(inserted):
            lines.insert(line, text)
        return "\n".join([*lines, *added]) + "\n"

    def setting(self, rule: Rule) -> Setting:
        values = {n: self._value(rule.name, n, node) for n, (_, node) in self.values[rule.name].items()}
        numbers = {name: float(values[name]) for name in rule.parameters}
        return Setting(bool(values["enabled"]), bool(values["drops"]), numbers)

    def _value(self, rule: str, name: str, node: yaml.Node) -> float | bool:
        shown = node.value if isinstance(node, yaml.ScalarNode) else "a list of things"
        value = _plain(node)
        if name in ("enabled", "drops"):
            if not isinstance(value, bool):
                raise self._wrong(node, f"{rule}: {name} is true or false, not {shown!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(node, f"{rule}: {name} is a number, not {shown!r}")
        elif name == "threshold" and not 0 <= value <= 1:
            raise self._wrong(node, f"{rule}: threshold is from 0 to 1, not {shown}")
        return value

    def _mapping(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Of each name, where it and its value stand."""
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, f"{what} should hold lines of NAME: VALUE")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, "a name is plain text")
            if key.value in found:
                raise self._wrong(key, f"{key.value} stands here twice")
            found[key.value] = key, value
        return found

    def _wrong(self, node: yaml.Node, what: str) -> UsageError:
        return UsageError(f"{self.path}, line {node.start_mark.line + 1}: {what}")


def _plain(node: yaml.Node) -> object:
    """A truth value or a number; None for anything else."""
    kinds = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if node.tag not in kinds:
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except ValueError:  # tagged by hand: !!int many
        return None


def _defaults(rule: Rule) -> dict[str, float | bool]:
    return {"enabled": True, "drops": rule.drops, **rule.parameters}


def _block(rule: Rule) -> list[str]:
    about = (inspect.getdoc(rule.run) or "").split("\n\n")[0].replace("\n", " ")
    values = [f"  {name}: {_shown(value)}" for name, value in _defaults(rule).items()]
    return [f"# {rule.title}: {about}", f"{rule.name}:", *values]


def _shown(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
