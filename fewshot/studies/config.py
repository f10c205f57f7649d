"""What a sweep is asked for, from a file (YAML) and from flags, which win: checked, and made into SweepSettings.

A method's setting that is given as a list makes a grid search, a sweep for each value.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from curate.foundation import option_files, yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.option_files import from_yaml, written
from curate.foundation.options import Option, Text, declared
from curate.foundation.yaml_files import Entry
from fewshot import methods
from fewshot.studies import grid_search
from fewshot.studies.grid_search import GridPoint
from fewshot.sweeping import descriptions
from fewshot.sweeping.settings import FILE, OPTIONS, Grid, SweepSettings
from fewshot.trials.additions import expanded

_EXPECTED = "fewshot sweep --config-template shows one"
REST = "other-methods"  # the directory of the methods that a grid search doesn't vary


@dataclass(frozen=True)
class Asked:
    """`values` of the options of FILE, only those that were given. By method (its name without suffix): `recipes`,
    single settings, and `grids`, settings with several values each.
    """

    values: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    grids: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.values.get("methods", Grid().methods))

    def over(self, under: "Asked") -> "Asked":
        """What is asked here, and what `under` asks where nothing is asked here."""
        recipes = {base: dict(each) for base, each in under.recipes.items()}
        grids = {base: dict(each) for base, each in under.grids.items()}
        for base, name, value in _each(self.recipes):
            grids.get(base, {}).pop(name, None)
            recipes.setdefault(base, {})[name] = value
        for base, name, value in _each(self.grids):
            recipes.get(base, {}).pop(name, None)
            grids.setdefault(base, {})[name] = value
        return Asked(under.values | self.values, recipes, grids)


def _each(by_method: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(base, name, value) for base, each in by_method.items() for name, value in each.items()]


def read(path: Path) -> Asked:
    """A sweep's file. Raises UsageError, in one sentence, for what it doesn't understand: line, key, what may be."""
    found = yaml_files.read(path, "--config", _EXPECTED)
    if found is None:
        return Asked()
    if not found.is_mapping:
        raise found.wrong(f"the file must hold keys and values; {_EXPECTED}")
    values = from_yaml(found, *FILE, others=_OTHERS)
    told = found.mapping()
    values |= {key: _value(key, told[key]) for key in _OTHERS if key in told and not told[key].is_null}
    return Asked(values, *_of_methods(told.get("methods")))


_OTHERS = ("methods", "descriptions")  # lists or text, as others, or mappings


def _value(key: str, given: Entry) -> Any:
    if given.is_mapping and key == "descriptions":
        return descriptions.from_entry(given, "descriptions: ")
    return _read(declared(*FILE)[key], key, given, list(given.mapping()) if given.is_mapping else written(given))


def settings_of(asked: Asked, collection: Path, out: Path) -> SweepSettings:
    """One sweep, of all methods that are asked for. Grids are not looked at (see `grid_points`)."""
    values = dict(asked.values)
    values["sets"] = expanded(values.get("sets", Grid().sets), values.pop("synthetic_per_class", ()))
    used = {methods.parse(each).base for name in asked.methods for each in (name, *methods.parts(name))}
    recipes = {base: each for base, each in asked.recipes.items() if base in used and each}
    return SweepSettings.of(collection, out, recipes=recipes, **values)


def grid_points(asked: Asked, collection: Path, out: Path) -> list[GridPoint]:
    """The sweeps that are asked for: one in `out` itself, or a grid search where a method has several recipes.

    In a grid search, each combination of a method's lists is a sweep of that method alone, and the methods without
    lists make another.
    """
    whole = settings_of(asked, collection, out)
    grids = {base: grid for base, grid in asked.grids.items() if grid_search.of_base(whole.grid.methods, base)}
    found = []
    rest = tuple(name for name in whole.grid.methods if methods.parse(name).base not in grids)
    if rest and grids:
        found.append(grid_search.grid_point(REST, out, whole.replaced(methods=rest)))
    for base, grid in grids.items():
        for values in itertools.product(*grid.values()):
            varied = dict(zip(grid, values, strict=True))
            own = whole.replaced(
                methods=grid_search.of_base(whole.grid.methods, base),
                recipes=whole.recipes | {base: whole.recipes.get(base, {}) | varied},
            )
            found.append(grid_search.grid_point(f"{base}-{grid_search.settings_name(varied)}", out, own, varied))
    return found or [GridPoint("", whole)]


def template() -> str:
    """A file with every key, its default, and a line about it."""
    return f"{_ABOUT}\n{option_files.template(*FILE)}\n{_OF_SINGLE_METHODS}"


_ABOUT = """\
# A sweep's settings for `fewshot sweep COLLECTION --out DIRECTORY --config FILE`: every key, with its default.
# Leave out what you don't need. Flags on the command line win over this file.
"""

_OF_SINGLE_METHODS = """\
# Settings of single methods, in place of the list above. A list of values makes one sweep for each combination, in a
# directory of its own under --out, and recipes.csv, which compares them.
# methods:
#   zero-shot:
#   linear-probe: {strengths: [1, 10, 100]}
#   finetune: {lr: [1e-5, 1e-4], weight_decay: 1e-3, epochs: [1, 5]}
"""


def _of_methods(given: Entry | None) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, tuple[Any, ...]]]]:
    """The recipes and grids of a mapping of methods; none of a mere list."""
    recipes: dict[str, dict[str, Any]] = {}
    grids: dict[str, dict[str, tuple[Any, ...]]] = {}
    for place, chosen in given.pairs() if given and given.is_mapping else ():
        name = place.written
        base = methods.parse(name).base
        if chosen.is_null:
            continue
        if not chosen.is_mapping:
            raise chosen.wrong(f"methods.{name} must hold settings, such as lr: 1e-5, not {chosen.shown()}")
        one, many = _settings(name, chosen)
        if base in recipes and (recipes[base], grids.get(base, {})) != (one, many):
            raise place.wrong(
                f"methods.{name}: all forms of {base} have the same settings in one sweep; make two sweeps"
            )
        recipes[base] = one
        if many:
            grids[base] = many
    return recipes, grids


def _settings(method: str, chosen: Entry) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """The settings of a method: those with one value, and those with several to choose from."""
    known = methods.options(method) | {name: OPTIONS[name] for name in methods.describe(method).options}
    one: dict[str, Any] = {}
    many: dict[str, tuple[Any, ...]] = {}
    for name, given in chosen.mapping(known=known, each=f"setting of {method} called").items():
        option, key = known[name], f"methods.{method}.{name}"
        if given.is_list and get_origin(option.kind) is not tuple:
            if not given.items():
                raise given.wrong(f"{key} is an empty list; give one value or several")
            many[name] = tuple(dict.fromkeys(_read(option, key, item, written(item)) for item in given.items()))
        else:
            one[name] = _read(option, key, given, written(given))
    return one, many


def _read(option: Option, key: str, place: Entry, value: Text) -> Any:
    """The option's value at `place`, where what is wrong is."""
    try:
        return option.read(value, key)
    except UsageError as error:
        raise place.wrong(str(error)) from error
