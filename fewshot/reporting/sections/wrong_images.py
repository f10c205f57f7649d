"""The images that the cell in focus gets wrong most often, with their pictures where those can be read."""

import pandas as pd

from curate.foundation.markdown import table
from fewshot.measuring import tables
from fewshot.reporting.elements.thumbnails import thumbnails
from fewshot.reporting.elements.wording import part_of
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

MOST = 24


class WrongImages(Section):
    """The worst of them; wrong.csv has all that were wrong at least once. In report.md they are among the mistakes."""

    anchor = "wrong"
    heading = "The images that are most often wrong"

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"wrong": self.content.wrong}

    def html(self) -> str:
        rows = self.content.wrong.head(MOST).to_dict("records")
        if not rows:
            return ""
        collection = self.content.measured.sweep.settings.get("collection")
        pictures, lacking = thumbnails(collection, [row["key"] for row in rows])
        shown = [row | {"picture": pictures.get(row["key"]), "lacking": lacking.get(row["key"], "")} for row in rows]
        return self.render(
            rows=shown,
            pictures=bool(pictures),
            total=len(self.content.wrong),
        )


def markdown(content: Content) -> list[str]:
    """The worst as a table, without a heading."""
    rows = [
        (row.key, row.label, row.usual_wrong_class, part_of(row.wrong, row.tested))
        for row in tables.rows_of(content.wrong.head(MOST))
    ]
    return [table(("most often wrong", "label", "usually called", "wrong"), rows, numeric=(3,))] if rows else []
