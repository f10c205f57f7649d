"""report.html: one self-contained page, without requests, readable without scripts, with all foreign text escaped."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from fewshot.reporting.elements import templates

if TYPE_CHECKING:
    from fewshot.reporting.sections.section import Section
    from fewshot.reporting.sections.summary import Summary

HERE = Path(__file__).parent


def render(summary: "Summary", sections: "Sequence[Section]") -> str:
    """The page as HTML text."""
    style, script = (HERE / "page.css").read_text(encoding="utf-8"), (HERE / "page.js").read_text(encoding="utf-8")
    return templates.render(
        HERE / "page.html.j2",
        summary=summary,
        sections=[(section, body) for section in sections if (body := section.html())],
        style=Markup(style),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704  # ours
        policy=_policy(script),
    )


def _policy(script: str) -> str:
    """A content security policy: nothing is fetched, and no script runs but ours, whatever a label may hold."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
