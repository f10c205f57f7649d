"""A page for a photograph: its panels side by side, and words that fit above them."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from curate.images.transform import Transform
from fewshot.explaining import palette
from fewshot.explaining.overlay import overlay
from fewshot.explaining.sheet import GAP, LINE, NARROWEST, SIDE, SIZE, Panel, _fitting, sheet


def panels(count: int, title: str = "called tree", side: str = "") -> list[Panel]:
    heat = partial(overlay, heat=np.eye(32, dtype=np.float32), transform=Transform(32))
    return [Panel(heat, title, "12.3 %", side)] * count


@pytest.mark.parametrize(("size", "shown"), [((640, 480), 320), ((100, 4000), NARROWEST), ((40, 40), NARROWEST)])
def test_there_is_room_for_each_panel_and_its_words(size: tuple[int, int], shown: int) -> None:
    page = sheet(Image.new("RGB", size), "photo.jpg", panels(3))
    assert page.width == GAP + 4 * (shown + GAP)
    assert page.height < SIDE + 100


def test_words_never_run_into_the_next_panel() -> None:
    """White between the panels, whatever the names are."""
    long = "Bharadvaja's_Twist_pose_or_Bharadvajasana_I_" * 3
    page = np.asarray(sheet(Image.new("RGB", (40, 40)), long, panels(2, long)))
    for number in (1, 2):
        left = GAP + number * (NARROWEST + GAP)
        assert (page[:50, left - GAP + 1 : left - 1] == 255).all()
    assert (page[:50] < 100).any()


def test_a_line_says_which_side_it_is_where_there_are_several() -> None:
    picture = Image.new("RGB", (300, 300))
    one, several = sheet(picture, "photo.jpg", panels(2)), sheet(picture, "photo.jpg", panels(2, side="body"))
    assert several.height == one.height + LINE
    assert (np.asarray(several)[: GAP + 2 * LINE] == np.asarray(one)[: GAP + 2 * LINE]).all()
    assert (np.asarray(several)[GAP + 2 * LINE : GAP + 3 * LINE] < 100).any()


def test_of_a_name_that_is_too_long_both_ends_are_shown() -> None:
    font = palette.font(SIZE, bold=False)
    shown = _fitting("Warrior_III_Pose_or_Virabhadrasana_III_.jpg", font, 200)
    assert font.getlength(shown) <= 200
    assert shown.startswith("Warrior_III") and shown.endswith("_III_.jpg") and "…" in shown
    assert _fitting("tree", font, 200) == "tree"
    assert _fitting("x" * 500, font, 5) == "…"


def test_what_is_not_printable_does_not_break_the_line() -> None:
    assert _fitting("a\nb\x1b[31m", palette.font(SIZE, bold=True), 500) == "a�b�[31m"
