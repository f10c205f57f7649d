"""What a section of the report is: a class that knows its table, its part of the page, and its Markdown."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from fewshot.reporting.elements import templates

if TYPE_CHECKING:
    import pandas as pd

    from fewshot.reporting.sections.content import Content


class Section:
    """One section, made for one sweep's `content`. A section that has nothing to show is left out.

    anchor            its id on the page
    heading           what stands above it on the page, as plain text
    markdown_heading  what stands above it in report.md, where that is something else
    prose             whether it is running text, for which the page has narrower lines
    leads_markdown    whether it comes first in report.md, which has no pictures to begin with
    """

    anchor: str
    heading: str
    markdown_heading = ""
    prose = False
    leads_markdown = False

    def __init__(self, content: "Content") -> None:
        self.content = content

    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables that are written as NAME.csv, by name. They are written even where they have no row."""
        return {}

    def html(self) -> str:
        """What stands below the heading on the page: Markup, any other text is escaped. "" leaves the section out."""
        return ""

    def render(self, **values: object) -> Markup:
        """The HTML of the template beside the section's own file: NAME.html.j2 beside NAME.py, with these values."""
        return templates.render(Path(inspect.getfile(type(self))).with_suffix(".html.j2"), **values)

    def markdown(self) -> list[str]:
        """The paragraphs, lists and tables below the heading in report.md, escaped. [] leaves the section out."""
        return []
