"""What a sweep is asked for, from a file (YAML) and from flags, which win: checked, and made into SweepSettings.

`data/sweep.yaml` documents every key. A method's setting that is given as a list makes a series of sweeps, one a value.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.collection.splits import Splitting
from curate.foundation import yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.yaml_files import Entry
from fewshot import methods
from fewshot.studies import grid_search
from fewshot.studies.grid_search import GridPoint
from fewshot.sweeping import prompts
from fewshot.sweeping.settings import OPTIONS, SHORT, SweepSettings, unchosen
from fewshot.training.augment import KINDS
from fewshot.trials.additions import expanded

_SPLITTING = {"split": "kind", "test_fraction": "test_fraction", "seed": "seed"}
_EXPECTED = "fewshot sweep --config-template shows one"
REST = "other-methods"  # the directory of what a series doesn't vary


@dataclass(frozen=True)
class Asked:
    """`values` by KEYS, only those that were given. By method (its name without suffix): `recipes`, single settings,
    and `grids`, settings with several values each."""

    values: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    grids: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.values.get("methods", SweepSettings.methods))

    def over(self, under: "Asked") -> "Asked":
        """This, and what `under` says where this says nothing."""
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
    told = found.mapping(known=KEYS)
    given = {key: _value(key, value) for key, value in told.items() if not value.is_null}
    return Asked(given, *_of_methods(told.get("methods")))


def _value(key: str, given: Entry) -> Any:
    if key == "descriptions" and given.is_mapping:
        return prompts.descriptions(given, "descriptions: ")
    with _at(given):
        return KEYS[key](key, given.plain())


@contextmanager
def _at(place: Entry) -> Iterator[None]:
    """What is wrong inside is said with file and line."""
    try:
        yield
    except UsageError as error:
        raise place.wrong(str(error)) from error


def settings(asked: Asked, collection: Path, out: Path) -> SweepSettings:
    """One sweep, of all methods that are asked for. Grids are not looked at (see `grid_points`)."""
    values = dict(asked.values)
    splitting = {name: values.pop(key) for key, name in _SPLITTING.items() if key in values}
    amounts = values.pop("synthetic_per_class", ())
    values["sets"] = expanded(values.get("sets", SweepSettings.sets), amounts)
    used = {methods.parse(name).base for name in asked.methods}
    recipes = {base: each for base, each in asked.recipes.items() if base in used and each}
    return SweepSettings(collection=collection, out=out, splitting=Splitting(**splitting), recipes=recipes, **values)


def grid_points(asked: Asked, collection: Path, out: Path) -> list[GridPoint]:
    """The sweeps that are asked for: one in `out` itself, or a series where a method has several recipes.

    In a series, each combination of a method's lists is a sweep of that method alone, and the methods without lists
    make another.
    """
    whole = settings(asked, collection, out)
    grids = {base: grid for base, grid in asked.grids.items() if grid_search.of_base(whole.methods, base)}
    found = []
    rest = tuple(name for name in whole.methods if methods.parse(name).base not in grids)
    if rest and grids:
        found.append(grid_search.grid_point(REST, out, dataclasses.replace(whole, methods=rest)))
    for base, grid in grids.items():
        for values in itertools.product(*grid.values()):
            varied = dict(zip(grid, values, strict=True))
            own = dataclasses.replace(
                whole,
                methods=grid_search.of_base(whole.methods, base),
                recipes=whole.recipes | {base: whole.recipes.get(base, {}) | varied},
            )
            found.append(grid_search.grid_point(f"{base}-{grid_search.settings_name(varied)}", out, own, varied))
    return found or [GridPoint("", whole)]


def template() -> str:
    """A file with every key, its default, and a line about it."""
    from curate.foundation import resources

    return resources.path("sweep.yaml").read_text(encoding="utf-8")


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
    defaults = unchosen(method)
    one: dict[str, Any] = {}
    many: dict[str, tuple[Any, ...]] = {}
    for setting, given in chosen.mapping(known=defaults, each=f"setting of {method} called").items():
        with _at(given):
            value, several = _setting(f"methods.{method}.{setting}", setting, given.plain(), defaults[setting])
        if several:
            many[setting] = value
        else:
            one[setting] = value
    return one, many


def _setting(key: str, name: str, value: Any, default: Any) -> tuple[Any, bool]:
    """A method's setting as its own kind, and whether it is several values to choose from."""

    def like(value: Any) -> Any:
        return _choice(*OPTIONS[name])(key, value) if name in OPTIONS else _like(key, value, default)

    if isinstance(value, list) and not isinstance(default, tuple):
        if not value:
            raise UsageError(f"{key} is an empty list; give one value or several")
        return tuple(dict.fromkeys(map(like, value))), True
    return like(value), False


def _like(key: str, value: Any, default: Any) -> Any:
    """`value` as the kind of thing that `default` is."""
    if isinstance(default, tuple):
        several = value if isinstance(value, list) else [value]
        return tuple(_like(key, each, default[0]) for each in several)
    if isinstance(default, bool):
        return _flag(key, value)
    if isinstance(default, int):
        return _whole(key, value)
    return _number(key, value) if isinstance(default, float) else _text(key, value)


# How a key's value is read: each takes key and value, and raises UsageError with what is allowed.


def _text(key: str, value: Any) -> str:
    if isinstance(value, (dict, list, bool)):
        raise UsageError(f"{key} must be a word, not {value!r}")
    return str(value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{key} must be true or false, not {value!r}")
    return value


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UsageError(f"{key} must be a whole number, not {value!r}")
    try:
        number = float(value)  # YAML takes 1e3 for a word
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{key} must be a whole number, not {value!r}")


def _number(key: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, (bool, list, dict)) else float(value)  # YAML takes 1e-5 for a word
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{key} must be a number, such as 1e-5, not {value!r}")
    return number


def _choice(*allowed: str) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if value not in allowed:
            raise UsageError(f"{key} must be {' or '.join(allowed)}, not {value!r}")
        return str(value)

    return read


def _names(key: str, value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, int) and not isinstance(parts, bool):
        parts = [parts]  # a class may be called 7
    if not isinstance(parts, list) or any(isinstance(part, (dict, list, bool)) or part is None for part in parts):
        raise UsageError(f"{key} must be a list of names, not {value!r}")
    return tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))


def _sentences(key: str, value: Any) -> tuple[str, ...]:
    """As `_names`, of what may hold commas."""
    return _names(key, [value] if isinstance(value, str) else value)


def _method_names(key: str, value: Any) -> tuple[str, ...]:
    names = _names(key, list(value) if isinstance(value, dict) else value)
    for name in names:
        methods.parse(name)
    return names


def _numbers(key: str, value: Any) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(_whole(key, part) for part in parts if part != ""))


def _path(key: str, value: Any) -> Path:
    return Path(_text(key, value)).expanduser()


def _descriptions(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Of a file."""
    return prompts.read_descriptions(_path(key, value))


KEYS: dict[str, Callable[[str, Any], Any]] = {
    "sets": _names,
    "synthetic_per_class": _numbers,
    "methods": _method_names,
    "shots": _numbers,
    "splits": _whole,
    "split": _choice("random", "official"),
    "test_fraction": _number,
    "seed": _whole,
    "classes": _names,
    "short": _choice(*SHORT),
    "model": _text,
    "checkpoint": _path,
    "device": _text,
    "fit": _choice("crop", "pad"),
    "prompts": _sentences,
    "descriptions": _descriptions,
    "recipe": _text,
    "augment": _choice("", *KINDS),
    "class_weights": _choice(*OPTIONS["class_weights"]),
    "deterministic": _flag,
    "workers": _whole,
    "engine": _choice("auto", "processes", "ray"),
    "address": _text,
    "gpu_share": _number,
}
