"""The report's sections, each a file with its template beside it, in the order of the page.

A new one is a subclass of Section in a file of its own, and its line here: report.md, report.html and the CSV files go
through this list.
"""

from fewshot.reporting.sections.calibration import Calibration
from fewshot.reporting.sections.classes import Classes
from fewshot.reporting.sections.differences import Differences
from fewshot.reporting.sections.failed import Failed
from fewshot.reporting.sections.influence import Influence
from fewshot.reporting.sections.intervals import Intervals
from fewshot.reporting.sections.learning_curve import LearningCurves
from fewshot.reporting.sections.mistakes import Mistakes
from fewshot.reporting.sections.needed_images import NeededImages
from fewshot.reporting.sections.reproduce import Reproduce
from fewshot.reporting.sections.results import Results
from fewshot.reporting.sections.section import Section
from fewshot.reporting.sections.side_by_side import SideBySide
from fewshot.reporting.sections.wrong_images import WrongImages

SECTIONS: list[type[Section]] = [
    LearningCurves,
    NeededImages,
    Results,
    Differences,
    Mistakes,
    Classes,
    SideBySide,
    Calibration,
    WrongImages,
    Influence,
    Failed,
    Intervals,
    Reproduce,
]
