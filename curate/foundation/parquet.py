"""The one writer and reader of our tables: a table that a disk has changed, in whichever bit, is never believed.

A bit that flips in a Parquet file is mostly read as another value, without a word. So the file's own metadata holds a
digest of all its bytes (with zeros where the digest stands), which is compared before anything is parsed. Pages have
Parquet's own checksums, too: they hold for other programs, and where the digest's name is what was damaged. Tables from
before there were digests are read as far as their pages, names and types make sense.
"""

import hashlib
import io
from collections.abc import Collection as Names
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.foundation import atomic
from curate.foundation.errors import FewposeError

if TYPE_CHECKING:
    import pandas as pd

_NAME = b"fewpose-sha256"  # of the digest, in the key-value metadata
_BLANK = b"0" * 64
_GAP = 2  # bytes between name and digest: Thrift's type and length of a text

_NUMBERS = ("float64", "float32")
_WORDS = {"str": "text", "int64": "whole numbers", "bool": "true or false"} | dict.fromkeys(_NUMBERS, "numbers")


def write(path: Path, table: "pd.DataFrame") -> str:
    """Write a table, whole or not at all; equal tables are equal bytes. Returns its digest. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    sink = io.BytesIO()
    metadata = {**arrow.schema.metadata, _NAME: _BLANK}
    pq.write_table(arrow.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    content = bytearray(sink.getbuffer())
    place = _place(content)
    if content[place : place + len(_BLANK)] != _BLANK:
        raise ValueError("pyarrow writes metadata in another form than curate.foundation.parquet knows")
    digest = _digest(content, place)
    content[place : place + len(_BLANK)] = digest
    atomic.write_bytes(path, bytes(content))
    return digest.decode()


def read(
    path: Path, columns: Mapping[str, str], advice: str, *, optional: Names[str] = (), digest: str = ""
) -> "pd.DataFrame":
    """The table of a file.

    columns: name -> str, int64, float64, float32 or bool, of those that must be there.  optional: those of them that an
        older file may lack; it is then without them.  advice: how the sentence about a damaged file ends: what to do.
    digest: where it is known, what the file's must be, as `write` has returned it.
    Raises FileNotFoundError, and FewposeError for a file that cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FewposeError(f"{path} cannot be read ({error.strerror})") from error
    try:
        _check(content, digest)
        return _typed(_parsed(content), columns, optional)
    except _Damaged as why:
        raise FewposeError(f"{path} is damaged ({why}); {advice}") from why


class _Damaged(Exception):
    """Why a table can't be believed, as a clause."""


def _check(content: bytes, expected: str) -> None:
    place = _place(content)
    promised = content[place : place + len(_BLANK)] if place >= 0 else b""
    if promised and promised != _digest(content, place):
        raise _Damaged("its bytes are others than were written")
    if expected and promised != expected.encode():
        raise _Damaged("it is another table than the one that was written there")


def _place(content: bytes | bytearray) -> int:
    """Where the digest stands; -1 where there is none."""
    found = content.rfind(_NAME)
    return found + len(_NAME) + _GAP if found >= 0 else -1


def _digest(content: bytes | bytearray, place: int) -> bytes:
    whole = memoryview(content)
    total = hashlib.sha256(whole[:place])
    total.update(_BLANK)
    total.update(whole[place + len(_BLANK) :])
    return total.hexdigest().encode()


def _parsed(content: bytes) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(io.BytesIO(content), engine="pyarrow", page_checksum_verification=True)
    except Exception as error:  # whatever damaged bytes make pyarrow and pandas raise
        said = str(error).strip().splitlines()
        raise _Damaged(said[0][:200] if said else type(error).__name__) from error


def _typed(table: "pd.DataFrame", columns: Mapping[str, str], optional: Names[str]) -> "pd.DataFrame":
    lacking = [name for name in columns if name not in table and name not in optional]
    if lacking or not table.columns.is_unique:
        raise _Damaged(f"it lacks {', '.join(lacking)}" if lacking else "it has two columns of one name")
    there = {name: kind for name, kind in columns.items() if name in table}
    if table.empty:
        return table.astype(there)
    for name, kind in there.items():
        if not _is(table[name], kind):
            raise _Damaged(f"its column {name} does not hold {_WORDS[kind]}")
    return table.astype(there)


def _is(values: "pd.Series[Any]", kind: str) -> bool:
    import pandas as pd

    if kind == "str":
        return isinstance(values.dtype, pd.StringDtype) and not values.isna().any()
    holds = {"int64": pd.api.types.is_integer_dtype} | dict.fromkeys(_NUMBERS, pd.api.types.is_float_dtype)
    return bool(holds.get(kind, pd.api.types.is_bool_dtype)(values.dtype))
