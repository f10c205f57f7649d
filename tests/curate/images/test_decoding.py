"""Every kind of file has a defined outcome: an upright 8-bit RGB picture, or a typed reason why not."""

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from curate.foundation.errors import UsageError
from curate.images.decoding import DEFAULT_LIMITS, FORMATS, Cause, Limits, Unreadable, open_image, read_file, sniff


def photo(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + packed


def cause_of(content: bytes, **options: Any) -> Cause:
    with pytest.raises(Unreadable) as caught:
        open_image(content, **options)
    assert caught.value.detail
    return caught.value.cause


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    colour = image.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour


def grey_at(content: bytes, x: int, y: int) -> int:
    red, green, blue = colour_at(open_image(content).image, x, y)
    assert red == green == blue
    return red


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_becomes_rgb_of_the_same_size(form: str) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    decoded = open_image(encoded(photo(), form))
    assert (decoded.image.mode, decoded.image.size, decoded.width, decoded.height) == ("RGB", (64, 48), 64, 48)
    assert (decoded.format, decoded.frames) == (form, 1)
    # GIF has 256 colours only.
    assert np.abs(np.asarray(decoded.image, int) - np.asarray(photo(), int)).mean() < 12


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    decoded = open_image(encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100))
    assert decoded.frames == 3
    red, green, blue = colour_at(decoded.image, 10, 5)
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F"])
def test_every_mode_becomes_rgb_that_looks_the_same(mode: str) -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1)))
    ramp = ramp.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else ramp.convert("RGB")
    if mode == "LAB":
        ramp = Image.merge("LAB", (ramp.convert("L"), *(Image.new("L", ramp.size, 128),) * 2))
    elif ramp.mode != mode:
        ramp = ramp.convert("L").convert(mode) if mode in ("I", "F", "PA", "LA", "P", "1", "L") else ramp.convert(mode)
    decoded = open_image(encoded(ramp, "TIFF"))
    columns = np.asarray(decoded.image, float).mean(axis=(0, 2))
    assert decoded.mode == mode
    assert columns[:8].mean() < 30
    assert columns[-8:].mean() > 225
    assert 100 < columns[28:36].mean() < 156


def test_adobe_inverted_cmyk_is_not_a_negative() -> None:
    content = encoded(Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK"), "JPEG")
    assert b"Adobe" in content  # libjpeg says so itself, and stores the inks inverted
    red, green, blue = colour_at(open_image(content).image, 8, 8)
    assert abs(red - 200) < 10
    assert abs(green - 40) < 10
    assert abs(blue - 40) < 10


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_is_scaled_and_not_clipped(form: str, order: str) -> None:
    values = np.array([[0, 257, 30000, 65535]], np.uint16)
    mode = "I;16" if order == "<u2" else "I;16B"
    content = encoded(Image.frombytes(mode, (4, 1), values.astype(order).tobytes()), form)
    assert [grey_at(content, x, 0) for x in range(4)] == [0, 1, 117, 255]


def test_16_bit_colour_is_scaled() -> None:
    rows = b"\0" + struct.pack(">6H", 0, 0x1234, 0xFFFF, 0x8000, 0x8000, 0x8000)
    decoded = open_image(png(2, 1, 16, 2, rows))
    assert decoded.image.getpixel((0, 0)) == (0, 0x12, 0xFF)
    assert decoded.image.getpixel((1, 0)) == (0x80, 0x80, 0x80)


def test_32_bit_values_are_stretched_and_holes_are_black() -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan]], np.float32)
    content = encoded(Image.fromarray(values), "TIFF")
    assert [grey_at(content, x, 0) for x in range(3)] == [0, 128, 255]
    constant = encoded(Image.fromarray(np.full((4, 4), 7, np.int32)), "TIFF")
    assert grey_at(constant, 0, 0) == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    content = encoded(image.convert(mode), "PNG")
    assert [grey_at(content, x, 0) for x in range(3)] == [0, 255, 127]


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 10, 10, 200, 200, 200])
    image.putpixel((1, 0), 1)
    for form in ("PNG", "GIF"):
        content = encoded(image, form, transparency=0)
        assert [grey_at(content, x, 0) for x in range(2)] == [255, 200], form


def test_palette_with_alpha_for_each_colour_is_blended() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putpixel((1, 0), 1)
    content = encoded(image, "PNG", transparency=bytes([0, 128]))
    assert [grey_at(content, x, 0) for x in range(2)] == [255, 127]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_means_transparent_is_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), "black")
    image.putpixel((1, 0), 90 if mode == "L" else (90, 90, 90))
    content = encoded(image, "PNG", transparency=90 if mode == "L" else (90, 90, 90))
    assert [grey_at(content, x, 0) for x in range(2)] == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    # The stored picture has one bright corner; where the viewer sees it is what the tag says (EXIF 2.3, 4.6.4).
    image = Image.new("RGB", (32, 16))
    image.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = open_image(encoded(image, form, exif=exif))
    width, height = (32, 16) if orientation < 5 else (16, 32)
    assert (decoded.width, decoded.height) == decoded.image.size == (width, height)
    left, top = {1: (1, 1), 2: (0, 1), 3: (0, 0), 4: (1, 0), 5: (1, 1), 6: (0, 1), 7: (0, 0), 8: (1, 0)}[orientation]
    corner = (2 if left else width - 3, 2 if top else height - 3)
    assert min(colour_at(decoded.image, *corner)) > 200
    opposite = (width - 3 if left else 2, height - 3 if top else 2)
    assert max(colour_at(decoded.image, *opposite)) < 50


def test_damaged_exif_does_not_cost_the_picture() -> None:
    content = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(60)))
    assert open_image(content).image.size == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"])
def test_grey_is_the_picture_without_its_colours(mode: str) -> None:
    image = photo().convert("I").convert(mode) if mode.startswith("I") else photo().convert(mode)
    content = encoded(image, "TIFF" if mode == "I" else "PNG")
    grey, coloured = open_image(content, grey=True), open_image(content)
    assert grey.image.mode == "L"
    assert grey.image.tobytes() == coloured.image.convert("L").tobytes()
    assert (grey.mode, grey.frames) == (coloured.mode, coloured.frames)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_grey_draft_of_a_jpeg_is_that_of_its_colours_but_for_rounding(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pale = photo(400, 300).point(lambda value: 64 + value // 2)  # bright colours would be clipped in one alone
    content = encoded(pale.convert(mode), "JPEG", exif=exif)
    grey, coloured = (open_image(content, draft=(100, 100), grey=each) for each in (True, False))
    difference = np.asarray(grey.image, int) - np.asarray(coloured.image.convert("L"), int)
    assert abs(difference).max() <= 2
    assert (grey.mode, grey.width, grey.height, grey.frames) == (mode, 300, 400, 1)
    assert grey.image.size == coloured.image.size == (150, 200)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_draft_is_large_enough_and_keeps_the_true_size(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(photo(800, 400), "JPEG", exif=exif)
    upright = (800, 400) if orientation == 1 else (400, 800)
    decoded = open_image(content, draft=(100, 50) if orientation == 1 else (50, 100))
    assert (decoded.width, decoded.height) == upright
    assert decoded.image.size == (upright[0] // 8, upright[1] // 8)
    assert open_image(content, draft=(101, 101)).image.size == (upright[0] // 2, upright[1] // 2)
    assert open_image(content, draft=(900, 900)).image.size == upright


def test_formats_without_a_draft_are_decoded_whole() -> None:
    assert open_image(encoded(photo(400, 400), "PNG"), draft=(10, 10)).image.size == (400, 400)


def test_what_is_no_image_says_so() -> None:
    assert cause_of(b"") is Cause.EMPTY
    assert cause_of(b"<!DOCTYPE html><html>not found</html>") is Cause.NOT_AN_IMAGE
    assert cause_of(b"\0" * 1000) is Cause.NOT_AN_IMAGE
    assert cause_of(b"%!PS-Adobe-3.0 EPSF-3.0\n") is Cause.NOT_AN_IMAGE  # Pillow could; we never start Ghostscript
    assert cause_of(encoded(photo(), "PPM")) is Cause.NOT_AN_IMAGE
    assert cause_of(encoded(photo(), "ICO")) is Cause.NOT_AN_IMAGE


def test_an_unknown_kind_of_a_known_format_is_damaged_not_a_crash() -> None:
    assert cause_of(b"II*\0\x08\0\0\0" + b"\0" * 200) is Cause.DAMAGED


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("AVIF", {}),
    ],
)
def test_a_truncated_file_is_never_half_a_picture(form: str, options: dict[str, Any]) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    content = encoded(photo(seed=3), form, **options)
    for length in range(20, len(content) - 24, max(1, len(content) // 60)):
        for grey in (False, True):
            cause = cause_of(content[:length], draft=(8, 8), grey=grey)
            # A cut inside AVIF's first box leaves nothing that says how long the rest should be.
            assert cause is Cause.TRUNCATED or (form == "AVIF" and cause is Cause.DAMAGED), length


def test_a_damaged_stream_is_told_from_a_truncated_one() -> None:
    content = bytearray(encoded(photo(), "PNG"))
    content[len(content) // 2] ^= 0xFF
    assert cause_of(bytes(content)) is Cause.DAMAGED


def test_too_many_pixels_are_refused_from_the_header_alone() -> None:
    bomb = png(30_000, 30_000, 8, 0, b"")
    assert cause_of(bomb) is Cause.TOO_MANY_PIXELS
    almost = png(12_000, 12_000, 8, 0, b"")  # between Pillow's warning and its error
    assert cause_of(almost) is Cause.TOO_MANY_PIXELS
    assert cause_of(encoded(photo(), "PNG"), limits=Limits(max_pixels=64 * 48 - 1)) is Cause.TOO_MANY_PIXELS
    assert open_image(encoded(photo(), "PNG"), limits=Limits(max_pixels=64 * 48)).width == 64


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    content = encoded(photo(), "PNG")
    small = Limits(max_bytes=len(content) - 1)
    assert cause_of(content, limits=small) is Cause.TOO_MANY_BYTES
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read_file(file, small)
    assert caught.value.cause is Cause.TOO_MANY_BYTES
    assert read_file(file) == content


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"max_pixels": 10**9}, {"max_bytes": 0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Limits(**limits)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "absent.jpg", ""):
        with pytest.raises(Unreadable) as caught:
            read_file(tmp_path / name)
        assert caught.value.cause is Cause.NO_ACCESS


@pytest.mark.slow
def test_pillows_remarks_do_not_reach_the_user() -> None:
    code = """
import io, sys, warnings
from PIL import Image
from curate.images.decoding import Limits, open_image, Unreadable
file = io.BytesIO()
Image.new("1", (10_000, 9_500)).save(file, "PNG")  # more than Pillow likes, less than the limit here
open_image(file.getvalue(), limits=Limits(max_pixels=100_000_000))
for bad in (b"II*\\0\\x08\\0\\0\\0\\xff\\xff" + b"\\x07" * 300, b"GIF89a" + b"\\xff" * 99):
    try:
        open_image(bad)
    except Unreadable:
        pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_callers_own_warnings_stay() -> None:
    open_image(encoded(photo(), "PNG"))
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    form=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    cut=st.floats(0, 1),
)
def test_whatever_the_bytes_a_picture_or_unreadable(form: str, changes: list[tuple[float, int]], cut: float) -> None:
    content = bytearray(encoded(photo(24, 16), form))
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        decoded = open_image(bytes(content[: int(cut * len(content)) or None]), draft=(4, 4))
    except Unreadable as problem:
        assert isinstance(problem.cause, Cause)
    else:
        assert decoded.image.mode == "RGB"
        assert decoded.width * decoded.height <= DEFAULT_LIMITS.max_pixels


def test_random_bytes_behind_each_magic_are_unreadable() -> None:
    generator = random.Random(0)
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x40\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"):
        assert sniff(start) in FORMATS
        for _ in range(20):
            assert cause_of(start + generator.randbytes(200)) in (
                *(Cause.DAMAGED, Cause.TRUNCATED, Cause.TOO_MANY_PIXELS),
            )
