"""paper.md and paper.html: our tables beside a paper's numbers. Text from outside is escaped in both."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from curate.foundation import console
from curate.foundation.markdown import bullets, escape, table
from curate.foundation.text import shown
from fewshot.reporting.elements import templates
from fewshot.reporting.elements.wording import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table

HERE = Path(__file__).parent
HEAD = ("", "images a class", "splits", "here %", "95 % over splits", "the paper %", "")
INTERVALS = (
    "Accuracies are means over splits. The interval covers the choice of splits of this one collection, and neither "
    "other images nor what differs from the paper."
)


@dataclass(frozen=True)
class Row:
    """A result beside the paper's, as text. `note`: what happened, such as that splits diverged."""

    what: str
    images: str = ""
    splits: str = ""
    ours: str = UNKNOWN
    interval: str = UNKNOWN
    paper: str = ""
    note: str = ""

    def with_note(self, note: str) -> "Row":
        return dataclasses.replace(self, note=", ".join(filter(None, (self.note, note))))

    @property
    def cells(self) -> tuple[str, ...]:
        return self.what, self.images, self.splits, self.ours, self.interval, self.paper, self.note


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables: what the paper says, our rows, and what must be known about them."""

    title: str
    says: str
    rows: list[Row]
    notes: list[str]


@dataclass(frozen=True)
class PaperContent:
    """The content of the pages; `differs`: sentences on what isn't as in the paper."""

    tables: list[PaperTable]
    differs: list[str]
    title: str


@dataclass(frozen=True)
class Pages:
    """The files, and their content."""

    markdown: Path
    html: Path
    content: PaperContent

    def terminal_tables(self) -> "list[Table]":
        """The tables as rich Tables; those without rows are left out."""
        from rich.table import Table
        from rich.text import Text

        tables = []
        for each in self.content.tables:
            if not each.rows:
                continue
            table = Table(
                title=Text(shown(each.title)), title_justify="left", box=None, pad_edge=False, header_style="bold"
            )
            table.add_column("", overflow="fold")
            for name in ("splits", "here %", "95 %", "paper %"):
                table.add_column(name, justify="right")
            table.add_column("")
            for row in each.rows:
                table.add_row(*console.texts((row.what, *row.cells[2:])))
            tables.append(table)
        return tables


def markdown(content: PaperContent) -> str:
    """The whole as Markdown text."""
    parts = [f"# {escape(content.title)}", "## What differs from the paper", bullets(content.differs)]
    for each in content.tables:
        parts += [f"## {escape(each.title)}", escape(each.says)]
        if each.rows:
            parts.append(table(HEAD, [row.cells for row in each.rows], numeric=range(1, 6)))
        parts += [escape(note) for note in each.notes]
    return "\n\n".join([*parts, INTERVALS]) + "\n"


def html(content: PaperContent) -> str:
    """The page, in the style of the report's: self-contained, without scripts."""
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))  # noqa: S704  # ours
    return templates.render(HERE / "paper.html.j2", content=content, style=style, intervals=INTERVALS)
