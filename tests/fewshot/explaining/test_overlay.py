"""A map lies where the model saw what it is of."""

import numpy as np
import pytest
from PIL import Image

from curate.images.transform import Transform
from fewshot.explaining.overlay import overlay


def spotted(width: int, height: int, left: int, top: int) -> Image.Image:
    """Grey, with a white spot of 20 by 20."""
    picture = Image.new("RGB", (width, height), (40, 40, 40))
    picture.paste((255, 255, 255), (left, top, left + 20, top + 20))
    return picture


def colourful(image: Image.Image) -> np.ndarray:
    values = np.asarray(image, np.int16)
    result: np.ndarray = values.max(axis=2) - values.min(axis=2)
    return result


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(200, 200), (300, 200), (200, 300), (601, 203)])
def test_heat_lies_on_what_it_is_of(fit: str, width: int, height: int) -> None:
    """The map is the picture itself, as the model sees it: what is bright must be coloured where it is bright."""
    left, top = width // 2 + 30, height // 2 - 60
    transform = Transform(96, fit)
    picture = spotted(width, height, left, top)
    heat = (transform.apply(picture)[..., 0].astype(np.float32) - 40).clip(min=0)
    coloured = colourful(overlay(picture, heat, transform)) > 60
    y, x = np.nonzero(coloured)
    assert abs(x.mean() - (left + 9.5)) < 1.5
    assert abs(y.mean() - (top + 9.5)) < 1.5
    assert 0.5 * 400 < coloured.sum() < 2 * 400


def test_what_is_cut_off_is_dark_and_what_is_seen_is_not() -> None:
    made = np.asarray(
        overlay(Image.new("RGB", (300, 100), (200, 200, 200)), np.zeros((64, 64)), Transform(64)), np.int16
    )
    assert (made[:, :99] < 80).all() and (made[:, 201:] < 80).all()
    assert (made[:, 101:199] > 200).all()


def test_with_padding_all_of_a_picture_is_seen() -> None:
    made = overlay(Image.new("RGB", (300, 100), (200, 200, 200)), np.zeros((64, 64)), Transform(64, "pad"))
    assert (np.asarray(made) > 200).all()


def test_a_map_of_nothing_is_grey_whatever_the_picture() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    assert colourful(overlay(picture, np.zeros((32, 32), np.float32), Transform(32))).max() == 0


def test_a_maps_own_scale_does_not_matter() -> None:
    heat = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    picture = Image.new("RGB", (80, 60), (100, 100, 100))
    made = [np.asarray(overlay(picture, heat * scale, Transform(32)), np.int16) for scale in (1e-12, 1, 1e9)]
    assert np.abs(made[0] - made[1]).max() <= 1 and np.abs(made[2] - made[1]).max() <= 1
