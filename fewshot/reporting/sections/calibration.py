"""Whether a method is as sure as it is right: the reliability diagram of the cell in focus."""

import math

from markupsafe import Markup

from curate.foundation.markdown import escape
from fewshot.measuring import reliability
from fewshot.measuring.metrics import Reliability
from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import Scale, line, path, picture, tag
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

LEFT, SIDE, STRIP = 44, 250, 42  # px: the margin, the square, and the strip below that counts images


class Calibration(Section):
    """The answers of the cell in focus, as the method states them and with its temperature."""

    anchor = "calibration"
    heading = "Is it as sure as it is right?"
    markdown_heading = "Calibration"

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        self.found = reliability.calibration(content.measured, content.focus)

    def html(self) -> str:
        if self.found is None:
            return ""
        drawn = [("As the method states it", self.found.stated), ("Divided by the temperature", self.found.calibrated)]
        return self.render(
            focus=self.content.focus,
            sentence=sentence(self.found),
            pictures=[
                {"title": title, "error": bins.error, "picture": reliability_diagram(bins, title)}
                for title, bins in drawn
                if bins
            ],
        )

    def markdown(self) -> list[str]:
        focus = self.content.focus
        if self.found is None or focus is None:
            return []
        return [f"Of {escape(focus.method)} on {escape(focus.set)}. {escape(sentence(self.found))}"]


def sentence(found: reliability.Calibration) -> str:
    """Whether the answers are surer than they are right, and what the temperature changes."""
    sure = float(found.stated.confidence.sum() / found.stated.images.sum())
    right = float(found.stated.right.sum() / found.stated.images.sum())
    how = "surer than it should be" if sure > right + 0.01 else "less sure than it could be"
    if abs(sure - right) <= 0.01:
        how = "as sure as it should be on average"
    text = (
        f"It is {how}: a mean confidence of {wording.percent(sure)} %, and {wording.percent(right)} % right; "
        f"the two lie {wording.percent(found.stated.error)} points apart."
    )
    if found.calibrated is None or found.temperatures is None:
        return f"{text} No temperature was chosen on the draws, so there is no calibrated figure beside it."
    low, middle, high = found.temperatures
    reach = f"{middle:.2g}" if low == high else f"{middle:.2g} (from {low:.2g} to {high:.2g})"
    return (
        f"{text} Divided by the temperature that was chosen on the draw, {reach}, they lie "
        f"{wording.percent(found.calibrated.error)} points apart; no answer changes by that."
    )


def reliability_diagram(bins: Reliability, title: str) -> Markup:
    """A dot a bin, its area by the images in it, with a stem to the diagonal, where confidence is what it says."""
    x, y = Scale(0, 1, LEFT, LEFT + SIDE), Scale(0, 1, SIDE + 8, 8)
    bottom = y(0) + 8 + STRIP
    parts = []
    for level, unit in ((0.0, ""), (0.5, ""), (1.0, " %")):
        parts += [
            line(x(0), y(level), x(1), y(level), "grid"),
            line(x(level), y(0), x(level), y(1), "grid"),
            tag("text", f"{100 * level:.0f}", x=x(level), y=bottom + 15, class_="tick middle"),
            tag("text", f"{100 * level:.0f}{unit}", x=LEFT - 6, y=y(level) + 4, class_="tick end"),
        ]
    parts.append(path([(x(0), y(0)), (x(1), y(1))], "diagonal"))
    most = int(bins.images.max(initial=1))
    width = SIDE / len(bins.images)
    for place, count in enumerate(bins.images):
        if not count:
            continue
        sure, right = bins.confidence[place] / count, bins.right[place] / count
        answers = wording.counted(int(count), "answer")
        said = f"{answers}: stated {wording.percent(sure)} %, right {wording.percent(right)} %"
        height = max(1.0, STRIP * count / most)
        parts += [
            line(x(sure), y(sure), x(sure), y(right), "stem"),
            tag("circle", tag("title", said), cx=x(sure), cy=y(right), r=2 + 6 * math.sqrt(count / most), class_="dot"),
            tag("rect", x=x(0) + place * width + 1, y=bottom - height, width=width - 2, height=height, class_="images"),
        ]
    parts.append(tag("text", "stated confidence, %", x=x(0.5), y=bottom + 31, class_="axis middle"))
    return picture(LEFT + SIDE + 14, bottom + 36, title, *parts, class_="reliability")
