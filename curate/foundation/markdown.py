"""Markdown: text from outside is escaped, here and nowhere else."""

import re
from collections.abc import Collection, Iterable, Sequence

from curate.foundation.text import shown

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")
_LIST = re.compile(r"^([0-9]{1,9}(?=\.(?: |$))|(?=-(?:[ -]|$)))")  # how a list begins, or a rule
_ADDRESS = re.compile(r"([a-zA-Z]):(//)")  # GitHub makes it a link


def escape(text: object) -> str:
    """Text that Markdown shows as it is: nothing becomes a link, a tag, emphasis, a list, or a new line.

    What a reader can't see is spelt out, as on the terminal.
    """
    entities = _flat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _SPECIAL.sub(r"\\\1", entities)
    return _LIST.sub(r"\1\\", _ADDRESS.sub(r"\1&#58;\2", escaped))


def code(text: object) -> str:
    """Text in a span of code, where nothing but its end is special."""
    return f"`{_flat(text).replace('`', chr(39))}`"


def _flat(text: object) -> str:
    return shown(" ".join(str(text).split()))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Collection[int]) -> str:
    """A table of texts that are escaped here; the columns at the places `numeric` are aligned on their right."""
    aligned = ["--:" if column in numeric else "---" for column in range(len(head))]
    lines = [map(escape, head), aligned, *(map(escape, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences that are escaped here."""
    return "\n".join(f"* {escape(sentence)}" for sentence in sentences)
