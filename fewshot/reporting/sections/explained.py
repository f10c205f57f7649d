"""What the classifier in focus went by in its mistakes, as fewshot explain wrote them: a part of `mistakes`."""

from pathlib import Path

from markupsafe import Markup

from curate.foundation.errors import FewposeError
from curate.foundation.inside import inside
from fewshot.measuring.measure import Cell
from fewshot.reporting.elements import templates, thumbnails
from fewshot.reporting.sections.content import Content
from fewshot.trials.explained import FOLDER, read_shown

WIDEST = 1024  # px, of a picture with its maps


def html(content: Content) -> Markup:
    """The pictures with what they are of; where there are none of this cell, how to have them made."""
    sweep = content.measured.sweep
    shown = read_shown(sweep.directory)
    rows = []
    if shown and Cell(shown.trial.set, shown.trial.method, shown.trial.shots) == content.focus:
        made = [vars(each) | {"picture": _picture(sweep.directory, each.file)} for each in shown.mistakes]
        rows = [row for row in made if row["picture"]]
    split = shown.trial.split if shown else None
    body = shown is not None and any("keypoints" in each.digests for each in sweep.records if each.trial == shown.trial)
    return templates.render(Path(__file__).with_suffix(".html.j2"), split=split, rows=rows, body=body)


def _picture(sweep: Path, name: str) -> str | None:
    """A picture that fewshot explain wrote; None for what can't be read, and for a link to another one."""
    try:
        return thumbnails.of_file(inside(sweep, f"{FOLDER}/{name}"), WIDEST)
    except FewposeError:
        return None
