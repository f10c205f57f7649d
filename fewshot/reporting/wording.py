"""How the report writes numbers and lists. Shares are percent with one decimal, differences percentage points."""

import math
from collections.abc import Sequence

UNKNOWN = "–"
MINUS = "−"


def percent(share: float) -> str:
    """0.8634 -> "86.3"; unknown -> "–"."""
    return UNKNOWN if math.isnan(share) else f"{100 * share:.1f}".replace("-", MINUS)


def points(difference: float) -> str:
    """0.0072 -> "+0.7", -0.0072 -> "−0.7", unknown -> "–"; what rounds to nothing has no sign."""
    if math.isnan(difference):
        return UNKNOWN
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", MINUS)


def interval(low: float, high: float, signed: bool = False) -> str:
    """Both ends, as "[85.8, 86.8]"; unknown -> "–"."""
    if math.isnan(low):
        return UNKNOWN
    form = points if signed else percent
    return f"[{form(low)}, {form(high)}]"


def count(number: float) -> str:
    """28450 -> "28,450"."""
    return f"{number:,.0f}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """(1, "trial") -> "1 trial", (2, "trial") -> "2 trials"."""
    return f"{count(number)} {singular if number == 1 else plural or singular + 's'}"


def listing(items: Sequence[object], last: str = "and") -> str:
    """[6, 20, 43] -> "6, 20 and 43"."""
    words = [str(item) for item in items]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def duration(seconds: float) -> str:
    """4000 -> "1 h 7 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out: both ends of a name tell it from its neighbours."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"
