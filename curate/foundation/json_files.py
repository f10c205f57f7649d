"""The one reader of JSON, of files and lines: what it returns is UTF-8, finite, bounded, and whole where it is sealed.

An object is sealed by an entry `checksum`: the CRC-32 of the others in their order, compact and in ASCII, as 8 hex
digits. It tells what was written from what a disk has made of it; against a stranger it does nothing. Objects without
one, of an older fewpose or a person's, are read as they are; who changes a sealed one by hand takes the entry out.
"""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from curate.foundation import atomic

T = TypeVar("T")

SEAL = "checksum"
_MOST_DIGITS = 40  # of a whole number: seeds have 20
_MOST_DEPTH = 64  # lists and objects within each other
_LINE_SEAL = len(f',"{SEAL}":"01234567"}}')
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


class NotJson(ValueError):
    """What is no such JSON; the message is a clause that says why: "it is not JSON (line 3: ...)"."""


def parse(content: bytes | str) -> Any:
    """The value of a text. Raises NotJson, also for what Python alone reads: NaN, 1e999, a number of 5000 digits."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"it is not JSON (line {error.lineno}: {error.msg})") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise NotJson(f"it is not JSON (line {line} is no text in UTF-8)") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    if text.count("[") + text.count("{") > _MOST_DEPTH and _depth(value) > _MOST_DEPTH:
        raise NotJson("it is nested too deeply")
    return value


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The entries of an object, without the seal. Raises NotJson, also where the seal is of other entries."""
    told = parse(content)
    if not isinstance(told, dict):
        raise NotJson("it is not a JSON object")
    if SEAL in told:
        seal = told.pop(SEAL)
        if seal != _seal(_canonical(told)):
            raise NotJson(f'its checksum is not that of its content; who changed it by hand takes out "{SEAL}"')
    return told


def read(path: Path) -> dict[str, Any]:
    """As `parse_object`, of a file, with texts that can be written. Raises OSError, NotJson."""
    content = path.read_bytes()
    told = parse_object(content)
    if b"\\u" in content:
        try:
            json.dumps(told, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise NotJson("it holds half a character") from None
    return told


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Write a sealed object, whole or not at all; equal objects are equal bytes. Raises OSError."""
    plain = json.loads(json.dumps(told, allow_nan=False))  # names that are numbers are text before they are sorted
    ordered = json.loads(json.dumps(plain, sort_keys=True))
    atomic.write_json(path, ordered | {SEAL: _seal(_canonical(ordered))})


def line(told: Mapping[str, Any]) -> bytes:
    """A sealed object as a line, its end included."""
    content = _canonical(told)
    return b'%b,"%b":"%b"}\n' % (content[:-1], SEAL.encode(), _seal(content).encode())


def parse_line(content: bytes) -> dict[str, Any]:
    """As `parse_object`, of a line. Faster where it stands as `line` has written it."""
    whole = content.rstrip(b"\r\n")
    body, seal = whole[:-_LINE_SEAL], whole[-_LINE_SEAL:]
    if seal == b',"%b":"%b"}' % (SEAL.encode(), _seal(body + b"}").encode()):
        whole = body + b"}"
    return parse_object(whole)


def entry(told: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """An entry that must be there, and of that kind; a whole number is a number. Raises NotJson."""
    if name not in told:
        raise NotJson(f"it lacks {name}")
    value = told[name]
    if kind is float and isinstance(value, int):
        value = float(value) if not isinstance(value, bool) else value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise NotJson(f"its {name} is not {_WORDS.get(kind, 'an object')}")
    return value


def _canonical(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), allow_nan=False).encode()


def _seal(canonical: bytes) -> str:
    return f"{zlib.crc32(canonical):08x}"


def _depth(value: Any) -> int:
    """How many lists and objects stand within each other; no more than one above what is allowed is counted."""
    depth, level = 0, [value]
    while depth <= _MOST_DEPTH and (level := [each for each in level if isinstance(each, dict | list)]):
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotJson(f"{digits[:_MOST_DIGITS]} is too large a number")
    return number


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise NotJson(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_constant)  # json.loads makes one a line
