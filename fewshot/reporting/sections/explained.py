"""Heat maps of mistakes of the classifier in focus, as fewshot explain wrote them: a part of `mistakes`."""

from pathlib import Path

from markupsafe import Markup

from fewshot.measuring.measure import Cell
from fewshot.reporting.elements import templates
from fewshot.reporting.elements.thumbnails import thumbnail
from fewshot.reporting.sections.content import Content
from fewshot.trials.explained import FOLDER, read_shown

WIDEST = 1024  # px, of a picture with its maps


def html(content: Content) -> Markup:
    """The pictures with what they are of; where there are none of this cell, how to have them made."""
    sweep = content.measured.sweep
    shown = read_shown(sweep.directory)
    rows = []
    if shown and Cell(shown.trial.set, shown.trial.method, shown.trial.shots) == content.focus:
        made = [
            vars(each) | {"picture": thumbnail(sweep.directory / FOLDER / each.file, WIDEST)} for each in shown.mistakes
        ]
        rows = [row for row in made if row["picture"]]
    split = shown.trial.split if shown else None
    return templates.render(Path(__file__).with_suffix(".html.j2"), split=split, rows=rows)
