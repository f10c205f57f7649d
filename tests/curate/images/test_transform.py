"""A square of pixels: open_clip's own with "crop", the whole picture with "pad"."""

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.foundation.errors import UsageError
from curate.images.transform import MOST_ASPECT, PAD_COLOUR, Transform

SIDES = st.one_of(st.integers(1, 12), st.integers(13, 400))


def noise(width: int, height: int) -> Image.Image:
    """The hardest picture for a resize to agree on: every pixel counts."""
    return Image.fromarray(
        np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), np.uint8)
    )


def open_clips(image: Image.Image, size: int) -> np.ndarray:
    transform = open_clip.image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    result: np.ndarray = (transform(image) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return result


def assert_open_clips(width: int, height: int, size: int) -> None:
    image = noise(width, height)
    ours = Transform(size).apply(image)
    assert (ours.shape, ours.dtype) == ((size, size, 3), np.dtype(np.uint8))
    np.testing.assert_array_equal(ours, open_clips(image, size))


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, st.sampled_from([31, 32, 64, 97]))
def test_a_crop_is_open_clips_bit_for_bit_at_any_size(width: int, height: int, size: int) -> None:
    assume(max(width, height) <= MOST_ASPECT * min(width, height))
    assert_open_clips(width, height, size)


@pytest.mark.parametrize("size", [224, 336])
@pytest.mark.parametrize(
    ("width", "height"),
    [(640, 480), (481, 641), (224, 224), (225, 224), (223, 1001), (20, 1000), (1000, 20), (60, 3000), (1, 1), (3, 150)],
)
def test_a_crop_is_open_clips_bit_for_bit_at_clips_sizes(width: int, height: int, size: int) -> None:
    assert_open_clips(width, height, size)


def test_a_crop_is_open_clips_up_to_the_promised_aspect() -> None:
    assert_open_clips(3, 3 * MOST_ASPECT, 64)
    assert_open_clips(3 * MOST_ASPECT, 3, 64)


@pytest.mark.parametrize("upright", [False, True])
def test_of_a_strip_that_would_fill_the_memory_only_the_middle_is_resized(
    upright: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resized whole, 1 x 100,000 pixels would become 224 x 22,400,000: 20 GB."""
    resized = []
    really = Image.Image.resize

    def resize(image: Image.Image, size: tuple[int, int], *options: Any) -> Image.Image:
        resized.append(size)
        assert size[0] * size[1] <= 224 * 224 * MOST_ASPECT
        return really(image, size, *options)

    monkeypatch.setattr(Image.Image, "resize", resize)
    strip = np.zeros((100_000, 1, 3), np.uint8)
    strip[50_000:] = 255
    square = Transform(224).apply(Image.fromarray(strip if upright else strip.swapaxes(0, 1)))
    assert len(resized) == 1
    across = square if upright else square.swapaxes(0, 1)
    assert across[:50].max() < 64
    assert across[-50:].min() > 191


def ringed(width: int, height: int) -> Image.Image:
    """Green, with a red border: where the border shows, the picture ends."""
    edge = max(1, min(width, height) // 8)
    pixels = np.full((height, width, 3), (255, 0, 0), np.uint8)
    pixels[edge : height - edge, edge : width - edge] = (0, 255, 0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (400, 100), (97, 401), (64, 64), (20, 10)])
def test_padding_shows_the_whole_picture_in_the_middle_at_its_aspect(width: int, height: int) -> None:
    square = Transform(64, "pad").apply(ringed(width, height)).astype(int)
    assert square.shape == (64, 64, 3)
    # The border is red, so blue is none of the picture's: what has any is padding.
    shown = square[:, :, 2] < PAD_COLOUR[2] // 2
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    assert shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert max(len(rows), len(columns)) == 64
    assert len(columns) / len(rows) == pytest.approx(width / height, rel=1 / min(len(rows), len(columns)))
    for inside in (rows, columns):
        assert abs(inside[0] - (63 - inside[-1])) <= 1
    for edge in (square[rows[0]], square[rows[-1]], square[:, columns[0]], square[:, columns[-1]]):
        middle = edge[len(edge) // 2]
        assert middle[0] > 150 > 100 > middle[1]


def test_padding_is_of_the_colour_that_normalises_to_nothing() -> None:
    square = Transform(64, "pad").apply(ringed(300, 100))
    assert (square[:20] == PAD_COLOUR).all()
    np.testing.assert_allclose(PAD_COLOUR, np.array(open_clip.OPENAI_DATASET_MEAN) * 255, atol=1)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1)])
def test_the_thinnest_picture_has_a_square_too(fit: str, width: int, height: int) -> None:
    assert Transform(32, fit).apply(noise(width, height)).shape == (32, 32, 3)


def test_a_square_picture_is_the_same_cropped_and_padded() -> None:
    image = noise(150, 150)
    np.testing.assert_array_equal(Transform(64).apply(image), Transform(64, "pad").apply(image))


def test_every_transform_has_a_name_of_its_own() -> None:
    transforms = [Transform(size, fit) for size in (64, 224, 336) for fit in ("crop", "pad")]
    assert len({transform.name for transform in transforms}) == len(transforms)


def test_a_new_version_of_the_pixels_has_a_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Transform().name
    monkeypatch.setattr("curate.images.transform.VERSION", 999)
    assert Transform().name != before


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="--fit must be crop or pad, not 'stretch'"):
        Transform(224, "stretch")


@pytest.mark.parametrize("fit", ["crop", "pad"])
@settings(deadline=None, max_examples=60)
@given(width=st.integers(20, 400), height=st.integers(20, 400))
def test_where_the_square_lies_is_where_its_pixels_come_from(fit: str, width: int, height: int) -> None:
    """A picture whose red is the column and whose green is the row that a pixel is in."""
    columns, rows = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    picture = np.stack([columns, rows, columns], axis=2) * 255
    transform = Transform(64, fit)
    square = transform.apply(Image.fromarray(picture.astype(np.uint8))).astype(float)
    left, top, right, bottom = transform.seen(width, height)
    assert right - left == bottom - top == (min if fit == "crop" else max)(width, height)
    for channel, (begin, length) in enumerate(((left, width), (top, height))):
        line = square[32, :, 0] if channel == 0 else square[:, 32, 1]
        place = begin + (np.arange(64) + 0.5) * (right - left) / 64
        edge = max(3, 1.5 * (right - left) / 64)  # there, rounding may have left the border's colour
        inside = (place > edge) & (place < length - edge)
        found = line[inside] / 255 * length
        assert np.abs(found - place[inside]).max(initial=0) < length / 255 + 1 + 1.5 * (right - left) / 64
