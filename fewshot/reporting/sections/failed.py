"""The trials that failed, and of what."""

from curate.foundation.markdown import table
from fewshot.measuring.tables import rows_of
from fewshot.reporting.elements.wording import counted
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

MOST = 100  # on the page


class Failed(Section):
    """Trials that failed, or whose predictions can't be scored."""

    anchor = "failed"

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        self.heading = f"{counted(len(content.measured.failed), 'trial')} failed"

    def html(self) -> str:
        failed = self.content.measured.failed
        if failed.empty:
            return ""
        rows = failed.head(MOST).to_dict("records")
        return self.render(rows=rows, total=len(failed))

    def markdown(self) -> list[str]:
        failed = self.content.measured.failed
        if failed.empty:
            return []
        rows = [(row.set, row.method, row.shots, row.split, row.cause, row.detail) for row in rows_of(failed)]
        return [table(("set", "method", "images a class", "split", "cause", "what happened"), rows, numeric=(2, 3))]
