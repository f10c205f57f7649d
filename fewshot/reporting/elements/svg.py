"""SVG by hand: elements whose attributes and texts are escaped, and straight scales.

By hand, and not by matplotlib, because the page's pictures follow its light or dark colours (classes, CSS variables),
keep their text as text, and label their lines directly.
"""

from dataclasses import dataclass
from statistics import mean

from markupsafe import Markup, escape

from curate.foundation.text import shown_lines

LETTER = 7.3  # px: a wide letter at the pictures' 12 px, to leave room for labels


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element. `class_` is class, `stroke_width` is stroke-width; an attribute that is None is left out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), harmless(_number(value)))
        for key, value in attributes.items()
        if value is not None
    )
    if not children:
        return Markup("<{}{}/>").format(name, written)
    inside = Markup("").join(escape(harmless(child)) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def picture(width: float, height: float, title: str, *children: object, class_: str = "") -> Markup:
    """An <svg> that shrinks with its column and is announced by `title`."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        class_=class_,
        role="img",
        aria_label=title,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line, in pixels."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: list[tuple[float, float]], class_: str, closed: bool = False) -> Markup:
    """A line through points, (x, y) in pixels each."""
    steps = "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_)


@dataclass(frozen=True)
class Scale:
    """A straight map from [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clipped(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move places apart to at least `gap`, as little as it takes, in their order, within [low, high] if they fit.

    Less i gaps, the i-th place in order may not lie below its predecessor: an isotonic regression, solved by pooling.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    pools: list[list[float]] = []  # neighbours that touch; each pool stands at its mean
    for position, index in enumerate(order):
        pools.append([places[index] - position * gap])
        while len(pools) > 1 and mean(pools[-2]) > mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    levels = [mean(pool) for pool in pools for _ in pool]
    top = max(low, high - (len(places) - 1) * gap)
    result = [0.0] * len(places)
    for position, (index, level) in enumerate(zip(order, levels, strict=True)):
        result[index] = min(max(level, low), top) + position * gap
    return result


def harmless(value: object) -> object:
    """What is to be escaped: text without what a reader can't see, all else as it is."""
    return shown_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: object) -> object:
    """Two decimals are enough for a screen, and keep the page small."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
