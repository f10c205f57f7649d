"""Training images that help or hurt: the effects of single ones, as fewshot.measuring.influence estimates them."""

import pandas as pd

from fewshot.measuring import influence
from fewshot.measuring.influence import FALSE
from fewshot.reporting.elements.wording import counted
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

MOST_ROWS = 10


class Influence(Section):
    """The effects that are distinguishable from 0, the largest first; influence.csv has all training images."""

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
        distinguishable = self.table[self.table["q_value"] <= FALSE]
        order = distinguishable["effect_points"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
        return self.render(
            sentences=said,
            rows=distinguishable.loc[order].to_dict("records"),
            distinguishable=len(distinguishable),
        )


def sentences(table: pd.DataFrame) -> list[str]:
    """What an influence table shows, and what it can't; [] where it has no effect."""
    known = table.dropna(subset=["effect_points"])
    if known.empty:
        return []
    first = known.iloc[0]
    distinguishable = known[known["q_value"] <= FALSE]
    hurt, help_ = int((distinguishable["effect_points"] < 0).sum()), int((distinguishable["effect_points"] > 0).sum())
    half = 2 * known["se_points"].median()
    if not len(distinguishable):
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
