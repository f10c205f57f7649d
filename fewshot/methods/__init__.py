"""The methods by name. A method is one file, imported when it is asked for, and a Description that is known before.

Ours are in `fewshot.methods.listed`. An installed package adds one by an entry point of the group `fewpose.methods`,
whose name is the method's and whose object is its Description.

A name may say more than the method: `finetune-last2` trains the last two blocks, and `finetune@0.5` is the mean of what
`finetune` ends with and what it began with (see `averaging`). All names that differ after the @ alone share a training.
`pose+linear-probe` are two methods that answer together (fewshot/methods/together.py).
"""

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from curate.foundation.errors import UsageError
from curate.foundation.options import Option, of_fields
from fewshot.methods.description import BETWEEN, Description
from fewshot.methods.listed import LISTED

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from fewshot.task import Method

GROUP = "fewpose.methods"  # of entry points
NAMES = tuple(each.name for each in LISTED)
_OURS = {each.name: each for each in LISTED}
_NAME = re.compile(r"(?P<base>[a-z-]*[a-z])(?P<number>\d+)?(?:@(?P<alpha>\d*\.?\d+))?")


@dataclass(frozen=True)
class Named:
    """A method's name taken apart: of `finetune-last2@0.5` the method, the number 2 (else 0), alpha 0.5 (else 1).

    Several methods that answer together are a method of its own.
    """

    base: str
    number: int = 0
    alpha: float = 1.0

    @property
    def training(self) -> str:
        """The name of what is trained, whatever is averaged afterwards."""
        return f"{self.base}{self.number or ''}"


def parse(name: str) -> Named:
    """Raises UsageError for a name that makes no sense."""
    if BETWEEN in name:
        _check_parts(name)
        return Named(name)
    found = _NAME.fullmatch(name)
    if not found or not _is_known(found["base"]):
        raise UsageError(f"there is no method {name!r}; there are {', '.join([*NAMES, *_registered()])}")
    number, about = int(found["number"] or 0), _described(found["base"])
    if about.numbered and not number:
        raise UsageError(f"{name}: say how many {about.numbered.counts}, from 1 on: {about.form}")
    if number and not about.numbered:
        numbered = [each for each in LISTED if each.numbered]
        names, forms = (" and ".join(getattr(each, part) for each in numbered) for part in ("name", "form"))
        raise UsageError(f"{name}: only {names} has a number behind its name, as {forms}")
    alpha = 1.0 if found["alpha"] is None else float(found["alpha"])
    if alpha > 1 or (found["alpha"] is not None and not about.tuned):
        tuned = ", ".join(each.name for each in LISTED if each.tuned)
        raise UsageError(
            f"{name}: @ averages what {tuned} trained with its starting point, by a weight from 0 to 1: finetune@0.5"
        )
    return Named(about.name, number, alpha)


def parts(name: str) -> tuple[str, ...]:
    """The names of the methods that answer together; of a single one, its own."""
    return tuple(name.split(BETWEEN))


def _check_parts(name: str) -> None:
    trainings = [parse(part).training if part else "" for part in parts(name)]
    if "" in trainings:
        raise UsageError(f"{name}: write a method on each side of a {BETWEEN}, as pose{BETWEEN}linear-probe")
    if len(set(trainings)) < len(trainings):
        raise UsageError(f"{name}: the same method can't be on two sides of a {BETWEEN}")


def describe(name: str) -> Description:
    """What the method of a name, in any of its forms, says of itself. Raises UsageError as `parse`."""
    return _described(parse(name).base)


def trains(name: str) -> bool:
    """Whether a method learns from training images, and so has one trial for each number of shots."""
    return describe(name).trains


def needs(name: str, what: str) -> bool:
    """Whether a method needs one of description.NEEDS."""
    return what in describe(name).needs


def options(name: str) -> dict[str, Option]:
    """By name, the settings that a method has, without the one that its name gives."""
    about = describe(name)
    if about.parts:
        return {key: option for part in about.parts for key, option in prefixed(part, options(part)).items()}
    own = of_fields(_class(about))
    return {each: option for each, option in own.items() if not about.numbered or each != about.numbered.field}


def defaults(name: str) -> dict[str, Any]:
    """The values of `options` where nothing is asked for."""
    return {each: option.default for each, option in options(name).items()}


def build(name: str, settings: dict[str, Any]) -> "Method":
    """The method `name` with `settings` (fields of its dataclass). Raises UsageError for what it doesn't know."""
    named, about = parse(name), describe(name)
    if about.parts:
        made: Method = _class(about)([_side(part, settings) for part in about.parts])
        return made
    counted = {about.numbered.field: named.number} if about.numbered else {}
    try:
        made = _class(about)(**settings | counted)
    except TypeError as error:
        raise UsageError(f"settings of {name}: {error}") from error
    return made


def _side(part: str, settings: dict[str, Any]) -> tuple[str, "Method", float, Description]:
    """What fewshot.methods.together takes of a method."""
    named = parse(part)
    return part, build(named.training, _own(part, settings)), named.alpha, describe(part)


def prefixed(part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a method as they are called where it is one of several: `pose.trees`."""
    return {f"{parse(part).training}.{key}": value for key, value in settings.items()}


def _own(part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `prefixed`."""
    prefix = f"{parse(part).training}."
    return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}


def _class(about: Description) -> Any:
    module, attribute = about.where.split(":")
    if about.parts or about.name in _OURS:
        return getattr(import_module(module), attribute)
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # whatever somebody else's file raises
        raise _broken(_entry(about.name), error) from error


# What other packages register


def _registered() -> "dict[str, tuple[EntryPoint, ...]]":
    return _entry_points(tuple(sys.path))


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> "dict[str, tuple[EntryPoint, ...]]":
    """By method, what is installed where Python looks, `path`."""
    from importlib.metadata import entry_points

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in entry_points(group=GROUP):
        if each not in found.get(each.name, ()):
            found[each.name] = (*found.get(each.name, ()), each)
    return found


def _is_known(base: str) -> bool:
    return base in _OURS or base in _registered()


@lru_cache
def _loaded(entry: "EntryPoint") -> Description:
    try:
        about = entry.load()
    except Exception as error:  # whatever somebody else's file raises
        raise _broken(entry, error) from error
    if not isinstance(about, Description) or about.name != entry.name:
        raise UsageError(
            f"the method {entry.name!r} of {_package(entry)} can't be used: {entry.value} is not a "
            f"fewshot.methods.description.Description of that name; update or remove that package"
        )
    return about


def _described(base: str) -> Description:
    """Of a known method. Raises UsageError where two have its name, or another package's can't be loaded."""
    if BETWEEN in base:
        return _together(base)
    registered = _registered().get(base, ())
    if len(registered) + (base in _OURS) > 1:
        owners = (["fewpose"] if base in _OURS else []) + [_package(each) for each in registered]
        raise UsageError(
            f"there are several methods called {base!r}, of {' and of '.join(owners)}; remove "
            f"{'that package' if len(registered) == 1 else 'all but one of them'}"
        )
    return _OURS[base] if base in _OURS else _loaded(registered[0])


_VERSION = 1  # of fewshot.methods.together


def _together(name: str) -> Description:
    """Of several methods; each is fitted as often more as there are folds."""
    sides = [describe(part) for part in parts(name)]
    return Description(
        name,
        "fewshot.methods.together:Together",
        f"{' and '.join(parts(name))} together, weighted by what each knows",
        version=int("".join(f"{version:02}" for version in (_VERSION, *(side.version for side in sides)))),
        needs=tuple(dict.fromkeys(need for side in sides for need in side.needs)),
        trains=any(side.trains for side in sides),
        alone=any(side.alone for side in sides) and all(side.alone or not side.trains for side in sides),
        cost=6 * sum(side.cost for side in sides),
        parts=parts(name),
        options=tuple(dict.fromkeys(option for side in sides for option in side.options)),
        flags=tuple(dict.fromkeys(flag for side in sides for flag in side.flags)),
    )


def _entry(base: str) -> "EntryPoint":
    return _registered()[base][0]


def _package(entry: "EntryPoint") -> str:
    return f"the package {entry.dist.name}" if entry.dist else "an unknown package"


def _broken(entry: "EntryPoint", error: Exception) -> UsageError:
    return UsageError(
        f"the method {entry.name!r} of {_package(entry)} can't be loaded ({type(error).__name__}: {error}); update or "
        "remove that package"
    )
