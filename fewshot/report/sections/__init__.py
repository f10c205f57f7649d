"""The report's sections, each a file with its template beside it, in the order of the page.

A new one is a subclass of Section in a file of its own, and its line here: report.md, report.html and the CSV files go
through this list.
"""

from fewshot.report.sections.calibration import Calibration
from fewshot.report.sections.classes import Classes
from fewshot.report.sections.differences import Differences
from fewshot.report.sections.failed import Failed
from fewshot.report.sections.influence import Influence
from fewshot.report.sections.intervals import Intervals
from fewshot.report.sections.learning_curve import LearningCurves
from fewshot.report.sections.mistakes import Mistakes
from fewshot.report.sections.needed_images import NeededImages
from fewshot.report.sections.reproduce import Reproduce
from fewshot.report.sections.results import Results
from fewshot.report.sections.section import Section
from fewshot.report.sections.wrong_images import WrongImages

SECTIONS: list[type[Section]] = [
    LearningCurves,
    NeededImages,
    Results,
    Differences,
    Mistakes,
    Classes,
    Calibration,
    WrongImages,
    Influence,
    Failed,
    Intervals,
    Reproduce,
]
