"""Training images that help or hurt: what the sweep can tell of single ones. How it is told: influence.influence."""

import pandas as pd

from fewshot.measuring import influence
from fewshot.measuring.influence import FALSE
from fewshot.reporting.elements.wording import counted
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

MOST_ROWS = 10


class Influence(Section):
    """The effects that can be told, the largest first; influence.csv has all training images."""

    anchor = "influence"
    heading = "Training images that help or hurt"

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        self.table = influence.influence(content.measured)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"influence": self.table}

    def html(self) -> str:
        said = sentences(self.table)
        if not said:
            return ""
        told = self.table[self.table["q_value"] <= FALSE]
        order = told["effect_points"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
        return self.render(
            sentences=said,
            rows=told.loc[order].to_dict("records"),
            told=len(told),
        )


def sentences(table: pd.DataFrame) -> list[str]:
    """What can be said of an influence table, and what can't; [] where it tells of no effect."""
    known = table.dropna(subset=["effect_points"])
    if known.empty:
        return []
    first = known.iloc[0]
    told = known[known["q_value"] <= FALSE]
    hurt, help_ = int((told["effect_points"] < 0).sum()), int((told["effect_points"] > 0).sum())
    half = 2 * known["se_points"].median()
    if not len(told):
        what = f"none of {counted(len(known), 'training image')} can be told from one without effect"
    else:
        what = (
            f"of {counted(len(known), 'training image')} {hurt} hurt and {help_} help, of which about "
            f"{100 * FALSE:.0f} % may be there by chance"
        )
    return [
        f"With {counted(int(first['shots']), 'image')} a class, {first['method']} on {first['set']}: {what}; "
        "all others may well have no effect.",
        "An effect is accuracy on an image's own class and the one it resembles most, with it minus with another of "
        f"its class in its place; it is known to about ± {half:.1f} points, and more splits make that narrower.",
    ]
