"""Settings declared once: a field of a settings class is a flag, a key of a YAML file, a default, a help and a check.

    @settings
    class Training:
        '''How the model is trained.'''

        lr: Annotated[float, option("Learning rate of AdamW (finetune, finetune-last).", gt=0, such_as="1e-5")] = 1e-5

makes `Training(lr=1e-4)`, which raises UsageError for what makes no sense, the flag `--lr` of every command that takes
a `Training` (option_flags.py), the key `lr` of every file that is read for it, and its line in the template of such a
file (option_files.py).

pydantic 2 does the checks and knows the bounds; stdlib dataclasses with metadata were weighed against it. It costs
every command 0.15 s (`synth --help` takes 0.28 s of a CPU, 0.12 s without). In return the conversions and bounds are a
well-kept library's, and a settings class stays a dataclass: `replace`, `asdict`, pickle and type checkers treat it as
one. Its messages ("Input should be greater than 0") are not used: ours name the flag, all that is allowed, and what was
given.

A flag and a value in a YAML file are the same here: text as it was written. So YAML's own reading of words (1e-5 is
text, `no` is false, 010 is 8) does not matter, and both go through `Option.read`.
"""

import dataclasses
import enum
import functools
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform

import pydantic
import pydantic.dataclasses
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from curate.foundation.errors import UsageError

T = TypeVar("T")
REQUIRED = PydanticUndefined  # the default of what has none
Text = str | list[Any] | dict[str, Any] | None  # a value as it was written: a word, or a list or mapping of such

Positive = Annotated[int, pydantic.Field(ge=1)]  # of a list: tuple[Positive, ...]

_CONFIG = pydantic.ConfigDict(allow_inf_nan=False, extra="forbid", arbitrary_types_allowed=True)
_WRITTEN = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_PLURALS = {int: "whole numbers", float: "numbers", str: "names", Path: "paths"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_BAD_CALLS = ("missing", "unexpected_keyword_argument", "multiple_argument_values", "unexpected_positional_argument")


def option(
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: int | None = None,
    min_length: int | None = None,
    such_as: str = "",
    flag: str = "",
    metavar: str = "",
    repeated: bool = False,
) -> Any:
    """What is declared of a field beside type and default.

    As in `lr: Annotated[float, option("...", gt=0)] = 1e-5`.

    help: one sentence about what it is.  ge, gt, le, lt, multiple_of: bounds of a number.
    min_length: how many values a list must have.
    such_as: an example, for the sentence about a wrong value.  flag: where it is not the name with hyphens: "--set",
    "--browser/--no-browser".  metavar: what stands for the value in the help, where its type is not enough.
    repeated: the flag is given once for each item, which may hold commas.
    """
    return pydantic.Field(
        description=help,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        multiple_of=multiple_of,
        min_length=min_length,
        examples=[such_as] if such_as else None,
        json_schema_extra={"flag": flag, "metavar": metavar, "repeated": repeated},
    )


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """A frozen dataclass whose values are checked. A value that makes no sense is a UsageError that names its flag.

    Its fields with an `option` are flags and keys; others are plain values. `__post_init__` may check what concerns
    several fields.
    """
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=_CONFIG)(cls)
    checked = made.__init__

    @functools.wraps(checked)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            checked(self, *args, **values)
        except pydantic.ValidationError as error:
            raise _error(made, error) from None

    made.__init__ = init
    result: type[T] = made
    return result


@dataclass(frozen=True)
class Option:
    """A field of a settings class."""

    name: str
    info: FieldInfo

    @property
    def flag(self) -> str:
        return self.told("flag").partition("/")[0] or f"--{self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        return self.info.description or ""

    @property
    def default(self) -> Any:
        """REQUIRED where it must be given."""
        return self.info.get_default(call_default_factory=True)

    @property
    def kind(self) -> Any:
        """Its type, without None."""
        return bare(self.info.annotation)

    @property
    def repeated(self) -> bool:
        return bool(self.told("repeated"))

    def expected(self) -> str:
        """What it must be: "a number, above 0 and at most 1, such as 0.5"."""
        words = _expected(self.kind, self.info.metadata)
        return ", such as ".join([words, *map(str, self.info.examples or ())])

    def wrong(self, named: str, given: object, why: str = "") -> UsageError:
        """why: in place of "must be ..."."""
        return UsageError(f"{named or self.flag} {why or f'must be {self.expected()}'}, not {given!r}")

    def read(self, written: Text, named: str = "") -> Any:
        """The value of what was written on the command line or in a file.

        named: what the sentence calls it; its flag unless said. Raises UsageError.
        """
        value = self._prepared(written)
        if value == [] and isinstance(written, str) and written.strip():  # commas alone
            raise self.wrong(named, written)
        if self.kind is bool and not isinstance(value, bool):  # pydantic takes 1 and "t" for true
            raise self.wrong(named, written)
        try:
            return _adapter(self).validate_python(value)
        except pydantic.ValidationError as error:
            raise self._wrong(error, named) from None

    def _wrong(self, error: pydantic.ValidationError, named: str = "") -> UsageError:
        first = error.errors(include_url=False)[0]
        why = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
        return self.wrong(named, first["input"], why)

    def _prepared(self, written: Text) -> Any:
        """What pydantic is given: a list's items apart and each once; truth in YAML's words; 1e3 as a whole number."""
        kind = self.kind
        if typing.get_origin(kind) is tuple and not isinstance(written, dict):
            apart = written.split(",") if isinstance(written, str) and not self.repeated else written
            items = apart if isinstance(apart, list) else [apart]
            stripped = [one.strip() if isinstance(one, str) else one for one in items]
            item = bare(typing.get_args(kind)[0])
            return list(_once(_one(item, one) for one in stripped if one != ""))
        return _one(kind, written)

    def told(self, what: str) -> str:
        """`flag` or `metavar`, as it was declared; "" where it was not."""
        extra = self.info.json_schema_extra
        return str(extra.get(what) or "") if isinstance(extra, dict) else ""


def declared(*classes: type) -> dict[str, Option]:
    """By name, the options of settings classes: their fields that have an `option`."""
    infos = {name: info for cls in classes for name, info in cls.__pydantic_fields__.items()}  # type: ignore[attr-defined]
    return {name: Option(name, info) for name, info in infos.items() if info.description}


def of_fields(cls: type) -> dict[str, Option]:
    """By name, all that the constructor of a dataclass takes, with an `option` or without."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = {}
    for each in dataclasses.fields(cls):
        made = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        default = REQUIRED if made is dataclasses.MISSING else made
        if each.init:
            found[each.name] = Option(each.name, FieldInfo.from_annotated_attribute(hints[each.name], default))
    return found


def of_parameter(name: str, hint: Any, default: Any) -> Option | None:
    """The option that a function's parameter is annotated with; None where there is none.

    default: as `inspect.Parameter` has it.
    """
    if not any(isinstance(one, FieldInfo) and one.description for one in getattr(hint, "__metadata__", ())):
        return None
    if default is inspect.Parameter.empty:
        return Option(name, FieldInfo.from_annotation(hint))
    return Option(name, FieldInfo.from_annotated_attribute(hint, default))


def _error(cls: type, error: pydantic.ValidationError) -> Exception:
    """The sentence about the first wrong value of a call."""
    first = error.errors(include_url=False)[0]
    place = first["loc"][0] if first["loc"] else ""
    if first["type"] in _BAD_CALLS:
        return TypeError(f"{cls.__name__}(): {place}: {first['msg'].lower()}")
    infos: dict[str, FieldInfo] = cls.__pydantic_fields__  # type: ignore[attr-defined]
    name = list(infos)[place] if isinstance(place, int) else place
    return Option(name, infos[name])._wrong(error)


def _adapter(of: Option) -> "pydantic.TypeAdapter[Any]":
    return pydantic.TypeAdapter(of.info.rebuild_annotation(), config=_CONFIG)  # takes 0.1 ms


def _one(kind: Any, written: Any) -> Any:
    if kind is bool and isinstance(written, str):
        return _WRITTEN.get(written.lower(), written)
    if kind is int and isinstance(written, str) and "e" in written.lower():
        try:
            number = float(written)
            return int(number) if number.is_integer() else written
        except (ValueError, OverflowError):
            return written
    return Path(written).expanduser() if kind is Path and isinstance(written, str) else written


def _once(values: Iterable[Any]) -> Iterable[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def bare(kind: Any) -> Any:
    """A type without what is annotated, and without None."""
    if typing.get_origin(kind) is Annotated:
        return bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        (only, *_) = [each for each in typing.get_args(kind) if each is not type(None)]
        return bare(only)
    return kind


def choices(kind: Any) -> list[str]:
    """The words of a Literal or an Enum; none of any other type."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(each.value) for each in kind]
    return [str(each) for each in typing.get_args(kind)] if typing.get_origin(kind) is Literal else []


def _expected(kind: Any, metadata: Iterable[Any], words: Mapping[type, str] = _WORDS) -> str:
    if words_of_it := choices(kind):
        return " or ".join(words_of_it)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return _expected(bare(item), getattr(item, "__metadata__", ()), _PLURALS)
    bounds = [
        f"{told} {getattr(one, name):g}"
        for one in _flat(metadata)
        for name, told in _BOUNDS.items()
        if getattr(one, name, None) is not None
    ]
    multiples = [f"a multiple of {one.multiple_of:g}" for one in _flat(metadata) if getattr(one, "multiple_of", None)]
    return ", ".join(filter(None, [words.get(kind, "a value"), " and ".join([*bounds, *multiples])]))


def _flat(metadata: Iterable[Any]) -> list[Any]:
    """Bounds may stand in a pydantic Field within Annotated."""
    return [inner for one in metadata for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
