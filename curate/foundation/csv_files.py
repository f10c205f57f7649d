"""CSV as we write it: a spreadsheet runs nothing of it, and `original` gives back what was written.

A text that a spreadsheet would take for a formula gets an apostrophe before it, as usual; a number stays one. A text
with what can't be seen (ESC, a line end) is written as a string of JSON. So each row is one line.
"""

import csv
import io
import json
import re
from collections.abc import Iterable

from curate.foundation.text import is_seen

_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV with Unix line ends; what is no text (a number, None) stands as it is."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def cell(value: object) -> object:
    """What stands in a cell for this value."""
    if not isinstance(value, str):
        return value
    if _as_json(value):
        return json.dumps(value)
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def original(written: str) -> str:
    """The text that `cell` made this of. A cell that others wrote is itself, but for such an apostrophe."""
    if written.startswith("'") and _FORMULA.match(written[1:]):
        return written[1:]
    decoded = _of_json(written)
    return written if decoded is None else decoded


def _as_json(value: str) -> bool:
    """Whether it is written as JSON: what can't be seen, and what would be read as such a cell."""
    return not is_seen(value) or _of_json(value) is not None


def _of_json(written: str) -> str | None:
    if len(written) < 2 or written[0] != '"' or written[-1] != '"':
        return None
    try:
        decoded = json.loads(written)
    except ValueError:
        return None
    return decoded if json.dumps(decoded) == written and _as_json(decoded) else None
