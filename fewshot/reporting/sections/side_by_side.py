"""Methods beside each other, class by class: what the body tells and the image doesn't, and the other way round."""

from dataclasses import dataclass

import pandas as pd

from curate.foundation.markdown import table
from fewshot.measuring import per_class
from fewshot.measuring.measure import Cell
from fewshot.reporting.elements.wording import percent
from fewshot.reporting.sections.section import Section

MOST_METHODS = 6
MOST_CLASSES = 40


@dataclass(frozen=True)
class Row:
    """A class, and for each method the shares of its images that are named rightly: "71 → 92", or one number."""

    name: str
    shares: list[str]
    best: list[bool]  # whether this method is the best for the class, with the most images


class SideBySide(Section):
    """Of the focus cell's set, each method with its fewest and its most images a class; the hardest classes first."""

    anchor = "side-by-side"
    heading = "Methods, class by class"

    def html(self) -> str:
        cells = self._cells()
        return self.render(heads=_heads(cells), rows=self._rows(cells), classes=self._classes()) if cells else ""

    def markdown(self) -> list[str]:
        cells = self._cells()
        rows = [(row.name, *row.shares) for row in self._rows(cells)] if cells else []
        return [table(("class", *_heads(cells)), rows, numeric=range(1, len(cells) + 1))] if rows else []

    def _classes(self) -> int:
        return len(self.content.measured.sweep.classes)

    def _cells(self) -> dict[str, list[Cell]]:
        """By method the cells with the fewest and the most images; {} where there is nothing to be compared."""
        focus = self.content.focus
        of_set = [cell for cell in self.content.measured.cells if focus and cell.set == focus.set]
        found: dict[str, list[Cell]] = {}
        for cell in sorted((cell for cell in of_set if cell in self.content.measured.by_class), key=_shots):
            found[cell.method] = [*found.get(cell.method, [])[:1], cell]
        return dict(list(found.items())[:MOST_METHODS]) if len(found) > 1 else {}

    def _rows(self, cells: dict[str, list[Cell]]) -> list[Row]:
        recall = per_class.classes(self.content.measured).set_index(["set", "method", "shots", "class"])["mean"]
        rows = []
        for name in self._classes_by_hardness(recall):
            each = [[float(recall[*cell, name]) for cell in of_method] for of_method in cells.values()]
            most = max(shares[-1] for shares in each)
            rows.append(Row(name, [" → ".join(map(percent, shares)) for shares in each], [x[-1] == most for x in each]))
        return rows

    def _classes_by_hardness(self, recall: pd.Series) -> list[str]:
        focus, names = self.content.focus, self.content.measured.sweep.classes
        return sorted(names, key=lambda name: (float(recall[*focus, name]), name))[:MOST_CLASSES] if focus else []


def _shots(cell: Cell) -> int:
    return cell.shots


def _heads(cells: dict[str, list[Cell]]) -> list[str]:
    return [
        f"{method}, {' → '.join(str(cell.shots) for cell in of_method)}" if of_method[-1].shots else method
        for method, of_method in cells.items()
    ]
