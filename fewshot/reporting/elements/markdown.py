"""Markdown: text from outside is escaped, here and nowhere else."""

import re
from collections.abc import Collection, Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def escape(text: object) -> str:
    """Text that Markdown shows as it is: nothing becomes a link, a tag, emphasis, or a new line."""
    flat = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Collection[int]) -> str:
    """A table of texts that are escaped here; the columns at the places `numeric` are aligned on their right."""
    aligned = ["--:" if column in numeric else "---" for column in range(len(head))]
    lines = [map(escape, head), aligned, *(map(escape, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences that are escaped here."""
    return "\n".join(f"* {escape(sentence)}" for sentence in sentences)
