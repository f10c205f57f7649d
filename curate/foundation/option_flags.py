"""Commands whose flags are the options of settings classes (see options.py)."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from curate.foundation.options import REQUIRED, Option, bare, choices, declared, of_parameter

R = TypeVar("R")
P = ParamSpec("P")

_METAVARS = {int: "int", float: "float", str: "str", Path: "path"}


@dataclass(frozen=True)
class Given:
    """Marks a command's parameter that is to hold what was given of `classes`, by name, and no defaults:
    `given: Annotated[dict[str, Any], Given(Data, Training)]`.
    """

    classes: tuple[type, ...]

    def __init__(self, *classes: type) -> None:
        object.__setattr__(self, "classes", classes)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as a Typer command: `commands.command()(command(function))`.

    For a parameter of a settings class it has the flags of that class, and is called with an object made of them (see
    `Given` for what was given alone). A parameter that is annotated with an `option` is a flag of its own. Other
    parameters are Typer's.
    """
    whole: Callable[..., R] = function
    hints = typing.get_type_hints(function, include_extras=True)
    takes = {name: found for name, hint in hints.items() if (found := _classes(hint)) and name != "return"}
    parameters: list[inspect.Parameter] = []
    single: dict[str, Option] = {}
    for own in inspect.signature(function).parameters.values():
        if own.name in takes:
            parameters += [_parameter(each) for each in declared(*takes[own.name]).values()]
        elif alone := of_parameter(own.name, hints[own.name], own.default):
            single[own.name] = alone
            parameters.append(_parameter(alone))
        else:
            parameters.append(own.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[own.name]))

    def run(**typed: Any) -> R:
        made = given({name: typed.pop(name) for name in single}, single)
        for name, classes in takes.items():
            options = declared(*classes)
            values = given({each: typed.pop(each) for each in options}, options)
            made[name] = values if _marked(hints[name]) else classes[0](**values)
        return whole(**typed, **made)

    functools.update_wrapper(run, function)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": hints.get("return")}
    return typing.cast(Callable[P, R], run)


def given(texts: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """The values of what was written for flags; None stands for what was not given. Raises UsageError."""
    return {
        name: text if isinstance(text, bool) else options[name].read(text)
        for name, text in texts.items()
        if text is not None
    }


def _parameter(option: Option) -> inspect.Parameter:
    """Of a Typer command: text, or None where it was not given."""
    given: Any = bool if option.kind is bool else list[str] if option.repeated else str
    kind = option.kind if not option.repeated else bare(typing.get_args(option.kind)[0])
    told = typer.Option(
        option.told("flag") or option.flag,
        help=" ".join(filter(None, [option.help, _default_shown(option.default)])),
        metavar=None if option.kind is bool else option.told("metavar") or _metavar(kind),
        show_default=False,  # Typer has no default, so that what was not given is None
    )
    required = option.default is REQUIRED
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[given if required else given | None, told],
    )


def _metavar(kind: Any) -> str:
    """As Typer writes them: <int>, <png|jpeg>."""
    if words := choices(kind):
        return f"<{'|'.join(words)}>"
    if typing.get_origin(kind) is tuple:
        return _metavar(bare(typing.get_args(kind)[0])).replace(">", ",...>")
    return f"<{_METAVARS.get(kind, 'str')}>"


def _default_shown(value: Any) -> str:
    """A default in the help, as Typer shows it; nothing where the help sentence says what is done without."""
    if value is REQUIRED or value is None or isinstance(value, bool | dict):
        return ""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f" [default: {text}]" if text else ""


def _classes(hint: Any) -> tuple[type, ...]:
    if marked := _marked(hint):
        return marked.classes
    return (hint,) if isinstance(hint, type) and hasattr(hint, "__pydantic_fields__") else ()


def _marked(hint: Any) -> Given | None:
    found = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Given)]
    return found[0] if found else None
