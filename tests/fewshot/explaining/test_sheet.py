"""A page for a photograph: its panels side by side, and words that fit above them."""

import numpy as np
import pytest
from PIL import Image

from curate.images.transform import Transform
from fewshot.explaining.sheet import GAP, NARROWEST, SIDE, Panel, _fitting, _font, sheet


def panels(count: int, title: str = "called tree") -> list[Panel]:
    return [Panel(np.eye(32, dtype=np.float32), title, "12.3 %")] * count


@pytest.mark.parametrize(("size", "shown"), [((640, 480), 320), ((100, 4000), NARROWEST), ((40, 40), NARROWEST)])
def test_there_is_room_for_each_panel_and_its_words(size: tuple[int, int], shown: int) -> None:
    page = sheet(Image.new("RGB", size), "photo.jpg", panels(3), Transform(32))
    assert page.width == GAP + 4 * (shown + GAP)
    assert page.height < SIDE + 100


def test_words_never_run_into_the_next_panel() -> None:
    """White between the panels, whatever the names are."""
    long = "Bharadvaja's_Twist_pose_or_Bharadvajasana_I_" * 3
    page = np.asarray(sheet(Image.new("RGB", (40, 40)), long, panels(2, long), Transform(32)))
    for number in (1, 2):
        left = GAP + number * (NARROWEST + GAP)
        assert (page[:50, left - GAP + 1 : left - 1] == 255).all()
    assert (page[:50] < 100).any()


def test_of_a_name_that_is_too_long_both_ends_are_shown() -> None:
    font = _font(False)
    shown = _fitting("Warrior_III_Pose_or_Virabhadrasana_III_.jpg", font, 200)
    assert font.getlength(shown) <= 200
    assert shown.startswith("Warrior_III") and shown.endswith("_III_.jpg") and "…" in shown
    assert _fitting("tree", font, 200) == "tree"
    assert _fitting("x" * 500, font, 5) == "…"


def test_what_is_not_printable_does_not_break_the_line() -> None:
    assert _fitting("a\nb\x1b[31m", _font(True), 500) == "a�b�[31m"
