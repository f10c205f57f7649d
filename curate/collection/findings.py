"""Findings: what each rule said of each image (findings.parquet), and which rules ran (checks.json)."""

import hashlib
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import json_files, parquet
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line

COLUMNS = {
    "key": "str",
    "id": "str",
    "rule": "str",
    "version": "int64",
    "score": "float64",  # 0 to 1, more is worse
    "threshold": "float64",  # as it was set
    "flagged": "bool",  # score >= threshold
    "detail": "str",
    "other": "str",  # the id of an image that this one is a copy of, or in conflict with; ""
    "suggestion": "str",  # a label; ""
}


CHECK = "check"  # of photographs, by `curate check`
ACCEPTANCE = "acceptance"  # of synthetic images, by `synth accept`


class Kind(StrEnum):
    """What a rule doubts of an image, and so which of a person's decisions overrules it."""

    COPY = "copy"  # that it is another picture than the ones that we have
    LABEL = "label"  # that it shows what it is said to; a relabelled image is not doubted any more
    QUALITY = "quality"  # that it can be seen
    CONTENT = "content"  # that it is a photograph of one person


class _Places(NamedTuple):
    table: str
    rules: str
    command: tuple[str, str]


_PLACES = {
    CHECK: _Places("findings.parquet", "checks.json", ("curate", "check")),
    ACCEPTANCE: _Places("acceptance.parquet", "acceptance.json", ("synth", "accept")),
}


@dataclass(frozen=True)
class Ran:
    """How one rule went."""

    title: str
    version: int
    kind: str
    drops: bool  # by the settings of that time
    parameters: dict[str, float]
    flagged: int = 0
    scored: int = 0
    not_run: str = ""  # why; "" where it ran


@dataclass(frozen=True)
class Findings:
    """What a check found. `table`: COLUMNS, sorted by key and rule."""

    table: pd.DataFrame
    rules: dict[str, Ran]  # by name, in the order in which people should read them
    images: str  # digest of the images that were checked
    model: str = ""  # whose features were used
    settings: dict[str, object] = field(default_factory=dict)

    def flagged(self) -> pd.DataFrame:
        return self.table[self.table["flagged"]]


def digest(images: pd.DataFrame) -> str:
    """16 hex digits over the keys and contents of an image table: findings hold for these, whatever their labels."""
    lines = sorted(images["key"] + " " + images["id"])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def write(collection: Collection, findings: Findings, name: str = CHECK) -> None:
    """Raises OSError."""
    table = findings.table[list(COLUMNS)].astype(COLUMNS).sort_values(["key", "rule"], ignore_index=True)
    places = _PLACES[name]
    digest = parquet.write(collection.file(places.table), table)
    # Last: it is the commit mark.
    said = {name: value for name, value in asdict(findings).items() if name != "table"}
    json_files.write(collection.file(places.rules), said | {"order": list(findings.rules), "table": digest})


def read(collection: Collection, name: str = CHECK) -> Findings | None:
    """None where the collection was never checked. Raises FewposeError where the findings are damaged."""
    places = _PLACES[name]
    path = collection.file(places.rules)
    again = f"{command_line(*places.command, collection.root)} makes it again"
    try:
        said = json_files.read(path)
        rules = {name: _ran(said["rules"][name]) for name in json_files.entry(said, "order", list)}
        images, model, digest = (str(said.get(name, "")) for name in ("images", "model", "table"))
        table = parquet.read(collection.file(places.table), COLUMNS, again, digest=digest)
        return Findings(table, rules, images, model, said.get("settings", {}))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FewposeError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FewposeError(f"{path} is damaged ({_why(error)}); {again}") from error


def _ran(told: dict[str, Any]) -> Ran:
    """Raises TypeError, NotJson."""
    for name, kind in (("title", str), ("version", int), ("kind", str), ("drops", bool), ("parameters", dict)):
        json_files.entry(told, name, kind)
    return Ran(**told)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, json_files.NotJson) else "its entries are not those of findings"
