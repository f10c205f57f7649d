"""YAML files whose keys are the options of settings classes (see options.py): read, and written as a template."""

import inspect
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from curate.foundation.errors import UsageError
from curate.foundation.options import REQUIRED, Option, Text, declared
from curate.foundation.yaml_files import Entry

_WIDTH = 32  # columns before a comment
_LENGTH = 120  # of a line


def from_yaml(entry: Entry, *classes: type, others: Iterable[str] = ()) -> dict[str, Any]:
    """The values of the keys of a mapping; `null` stands for what was not given.

    others: keys that may be there, too, and are not read here, declared or not.
    Raises UsageError with file and line for keys that there are not, and for values that make no sense.
    """
    options = declared(*classes)
    others = tuple(others)
    values = {}
    for key, value in entry.mapping("the file", dict.fromkeys([*options, *others])).items():
        if key not in others and not value.is_null:
            try:
                values[key] = options[key].read(written(value), key)
            except UsageError as error:
                raise value.wrong(str(error)) from error
    return values


def written(entry: Entry) -> Text:
    """A value of a YAML file as text, like one of the command line."""
    if entry.is_list:
        return [written(item) for item in entry.items()]
    if entry.is_mapping:
        return {key: written(value) for key, value in entry.mapping().items()}
    return None if entry.is_null else entry.written


def template(*classes: type) -> str:
    """A YAML file with every key, its default and its help. A class's docstring begins its part."""
    parts = []
    for cls in classes:
        about = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
        parts.append("\n".join([f"# {about}", *map(_line, declared(cls).values())]) + "\n")
    return "\n".join(parts)


def _line(option: Option) -> str:
    """Key, default and help; a help that is too long for that stands above them."""
    line = f"{option.name}: {_as_yaml(option.default)}"
    whole = f"{line.ljust(_WIDTH - 1)} # {option.help}"
    if len(whole) <= _LENGTH:
        return whole
    above = textwrap.wrap(option.help, _LENGTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n".join([*above, line])


def _as_yaml(value: Any) -> str:
    if value is REQUIRED:
        return "null"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, str) and value and value.replace("-", "").replace("_", "").replace("/", "").isalnum():
        return value
    return json.dumps(str(value) if isinstance(value, Path) else value)
