"""How numbers, lists and names are written, and how labels are kept apart."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from fewshot.reporting.elements import wording
from fewshot.reporting.elements.svg import spread, tag


def test_numbers() -> None:
    assert wording.percent(0.8634) == "86.3" and wording.percent(math.nan) == "–" and wording.percent(-0.02) == "−2.0"
    assert (wording.points(0.0072), wording.points(-0.0072), wording.points(-0.0001)) == ("+0.7", "−0.7", "0.0")
    assert wording.interval(0.858, 0.868) == "[85.8, 86.8]"
    assert wording.interval(-0.01, 0.002, signed=True) == "[−1.0, +0.2]"
    assert wording.interval(math.nan, math.nan) == "–"
    assert (wording.count(28450), wording.counted(1, "class", "classes"), wording.counted(2, "class", "classes")) == (
        *("28,450", "1 class"),
        "2 classes",
    )


def test_lists_and_times() -> None:
    assert [wording.listing(x) for x in ([], [6], [6, 20], [6, 20, 43])] == ["", "6", "6 and 20", "6, 20 and 43"]
    assert wording.listing([6, 20], "or") == "6 or 20"
    assert [wording.duration(x) for x in (3.2, 100, 4000, 8000)] == ["3 s", "2 min", "67 min", "2 h 13 min"]


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened(text: str, limit: int) -> None:
    short = wording.shortened(text, limit)
    assert len(short) <= limit
    assert short == text or (text.startswith(short.split("…")[0]) and text.endswith(short.rsplit("…", 1)[1]))


def test_svg_spells_out_what_cannot_be_seen() -> None:
    made = tag("text", "a\x1bb", tag("title", "\u202ec"), class_="\x9b")
    assert made == Markup('<text class="\\x9b">a\\x1bb<title>\\u202ec</title></text>')


def test_svg_escapes_texts_and_attributes() -> None:
    made = tag("text", "<b>", class_='"><script>', x=1.0, stroke_width=None)
    assert made == Markup('<text class="&#34;&gt;&lt;script&gt;" x="1">&lt;b&gt;</text>')


@given(st.lists(st.floats(0, 300), max_size=8))
def test_labels_are_spread_in_order(places: list[float]) -> None:
    moved = spread(places, 17, 0, 300)
    order = np.argsort(places, kind="stable")
    assert all(b - a >= 16.9 for a, b in zip(np.array(moved)[order], np.array(moved)[order][1:], strict=False))
    assert all(-0.1 <= place <= 300.1 for place in moved)
