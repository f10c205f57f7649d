"""report.md: the report as Markdown, for a README or an issue. Text from outside is escaped, here and nowhere else."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from fewshot.reporting.wording import counted

if TYPE_CHECKING:
    from fewshot.reporting.sections.section import Section
    from fewshot.reporting.summary import Summary

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


def render(summary: "Summary", sections: "Iterable[Section]") -> str:
    """The whole report as Markdown text."""
    parts = _opening(summary)
    for section in sorted(sections, key=lambda each: not each.leads_markdown):
        if said := section.markdown():
            parts += [f"## {escape(section.markdown_heading or section.heading)}", *said]
    return "\n\n".join(parts) + "\n"


def _opening(summary: "Summary") -> list[str]:
    parts = [f"# {escape(summary.title)}"]
    if summary.progress:
        parts.append(f"**{escape(summary.progress)}**")
    parts.append(escape(summary.opening))
    lines = []
    for best in summary.best:
        where = f"{counted(best.shots, 'image')} a class" if best.shots else "no training image"
        lead = f"; {escape(best.lead)}" if best.lead else ""
        who = f"{escape(best.method)} on {escape(best.set)}"
        lines.append(f"* {where}: **{best.accuracy} %** {escape(best.interval)}, {who}{lead}")
    return [*parts, *(["\n".join(lines)] if lines else []), escape(f"{summary.setting} {summary.brackets}".strip())]
