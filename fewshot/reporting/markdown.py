"""report.md: the report as Markdown, for a README or an issue."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from curate.foundation.markdown import escape
from fewshot.reporting.elements.wording import counted

if TYPE_CHECKING:
    from fewshot.reporting.sections.section import Section
    from fewshot.reporting.sections.summary import Summary


def render(summary: "Summary", sections: "Iterable[Section]") -> str:
    """The whole report as Markdown text."""
    parts = _opening(summary)
    for section in sorted(sections, key=lambda each: not each.leads_markdown):
        if body := section.markdown():
            parts += [f"## {escape(section.markdown_heading or section.heading)}", *body]
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
