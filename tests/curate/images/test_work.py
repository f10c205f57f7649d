"""What would hold a decoder for minutes is refused before it is decoded; what merely looks like it is a picture."""

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.web import jpeg_of_scans
from curate.images.decoding import FORMATS, Cause, Decoded, Unreadable, open_image, sniff
from curate.images.work import MOST_CHUNKS, MOST_PAGES, MOST_SCANNED, MOST_SCANS, MOST_SEGMENTS, TooMuchWork, check_work
from tests.curate.images import hostile
from tests.curate.images.test_decoding import encoded, photo

PHOTOS = Path(__file__).resolve().parents[4] / "shared" / "data"
# Of CPU, after which a file counts as one that holds its decoder. No measurement: what passes takes a few seconds, also
# on a machine that is slow; what took minutes before there was a walk fails. benchmarks/decode_guard.py measures.
SECONDS = 60.0

ZTXT = hostile.chunk(b"zTXt", b"a\0\0" + hostile.failing(1))
EXIF = b"\xff\xe1Exif\0\0"

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "scans": (lambda: jpeg_of_scans(4000, 4000), "JPEG with more than 100 scans"),
    "fewer scans of a large frame": (lambda: jpeg_of_scans(7990, 50), "JPEG with more than 40 scans"),
    "segments": (lambda: hostile.jpeg_with(b"\xff\xe1", 1_000_000), "JPEG with more than 2,000 segments"),
    "comments": (lambda: hostile.jpeg_with(b"\xff\xfe", 1_000_000), "JPEG with more than 2,000 segments"),
    "EXIF that grows": (
        lambda: hostile.jpeg_with(EXIF + bytes(65_000), 700),
        "JPEG with more than 4,000,000 bytes of EXIF",
    ),
    "Photoshop's resources": (
        lambda: hostile.jpeg_with(b"\xff\xedPhotoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000, 700),
        "JPEG with more than 4,000,000 bytes of EXIF and Photoshop's",
    ),
    "fill bytes": (lambda: hostile.jpeg_with_stray(b"\xff" * 20_000_000), "JPEG with more than 1,000,000 stray bytes"),
    "zeros": (lambda: hostile.jpeg_with_stray(bytes(20_000_000)), "JPEG with more than 1,000,000 stray bytes"),
    "nothing else": (lambda: b"\xff\xd8\xff" + bytes(20_000_000), "JPEG with more than 1,000,000 stray bytes"),
    "texts": (lambda: hostile.png_with(ZTXT * 20_000), "PNG with more than 1,000 chunks besides"),
    "empty texts": (lambda: hostile.png_with(hostile.chunk(b"tEXt", b"") * 100_000), "PNG with more than 1,000 chunks"),
    "empty pixels": (
        lambda: hostile.png_with(hostile.chunk(b"IDAT", b"") * 1_000_000),
        "PNG with more than 197,",  # 10,000 and one to 64 bytes
    ),
    "frames": (lambda: hostile.gif_of_frames(300_000), "GIF with more than "),
    "a comment of bytes": (lambda: hostile.gif_with_comment(b"x", 1_000_000), "GIF with more than "),
    "pages": (lambda: hostile.tiff_of_pages(100_000), "TIFF with more than 10,000 pages"),
    "strips": (lambda: hostile.tiff_of_strips(50_000), "TIFF with more than 16 strips or tiles"),
    "a tile": (lambda: hostile.tiff_of_tile(40_000), "TIFF with tiles of 40000 x 40000 pixels in a picture of 16 x 16"),
    "values": (
        lambda: hostile.tiff(hostile.page(8, 8, t258=(3, 10_000_000, 8)), bytes(20_000_000)),
        "TIFF with more than 200,000 values of one tag",
    ),
    "run lengths": (
        lambda: hostile.run_length_bmp(1000, 1000, b"\0\0" * 4_000_000),
        "BMP with more than 4,000,000 bytes in run-length coding",
    ),
    "rows of nothing": (
        lambda: hostile.run_length_bmp(8000, 8000, b"\1\1\0\0" * 8000),
        "BMP with more than 16,000,000 pixels in run-length coding",
    ),
}


def tried(content: bytes) -> Decoded | Unreadable:
    """What becomes of it, within SECONDS."""
    begun = time.thread_time()
    try:
        return open_image(content)
    except Unreadable as problem:
        return problem
    finally:
        assert time.thread_time() - begun < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_take_minutes_is_refused_in_words(name: str) -> None:
    make, said = HOSTILE[name]
    found = tried(make())
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.TOO_MUCH_WORK
    assert found.detail.startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
def test_what_is_cut_off_takes_no_longer(name: str, part: float) -> None:
    content = HOSTILE[name][0]()
    assert isinstance(tried(content[: int(part * len(content))]), Unreadable | Decoded)


@pytest.mark.parametrize(
    "content",
    [
        hostile.png_with(hostile.chunk(b"zTXt", b"a\0\0" + hostile.inflating(200))),
        hostile.png_with(hostile.chunk(b"iCCP", b"a\0\0" + hostile.inflating(200))),
        hostile.png_with(hostile.chunk(b"iTXt", b"a\0\1\0\0\0" + hostile.inflating(200))),
    ],
    ids=["text", "profile", "international text"],
)
def test_what_inflates_to_hundreds_of_megabytes_is_not_inflated(content: bytes) -> None:
    tried(content)


@pytest.mark.slow
def test_as_many_as_the_limits_allow_are_a_picture() -> None:
    for content in (
        jpeg_of_scans(400, MOST_SCANS),
        hostile.jpeg_with(b"\xff\xe1", MOST_SEGMENTS - 20),
        hostile.jpeg_with_stray(b"\xff" * 900_000),
        hostile.png_with(hostile.chunk(b"tEXt", b"a\0b") * (MOST_CHUNKS - 1)),
        hostile.gif_of_frames(4000),
        hostile.tiff_of_pages(MOST_PAGES),
        hostile.run_length_bmp(1000, 1000, b"\xff\7\0\0" * 1000),
    ):
        found = tried(content)
        assert isinstance(found, Decoded), found


@pytest.mark.slow
def test_the_costliest_that_pass_take_seconds() -> None:
    found = tried(jpeg_of_scans(7990, MOST_SCANNED // 7990**2))
    assert isinstance(found, Decoded), found


def test_scans_are_counted_where_they_are_scans() -> None:
    """Not in what a segment holds, not behind the picture's end."""
    inside = hostile.jpeg_with(b"\xff\xe1" + b"\xff\xda\0\2" * 300, 1)
    behind = encoded(photo(), "JPEG", progressive=True) + b"\xff\xda\0\2" * 300
    for content in (inside, behind):
        assert isinstance(tried(content), Decoded)


def test_what_only_one_decoder_passes_over_hides_nothing() -> None:
    """Pillow takes what a DAC segment holds for segments of the file."""
    hidden = b"\xff\xcc" + b"\xff\xe1\0\2" * 10_000
    found = tried(hostile.jpeg_with(hidden, 3))
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.TOO_MUCH_WORK


@pytest.mark.parametrize(
    ("content", "frames"),
    [
        (hostile.gif_of_frames(1), 1),
        (hostile.gif_of_frames(700), 700),
        (hostile.gif_of_frames(5)[:-4], 5),  # the last is cut off
        (hostile.gif_with_comment(b"!,;!,;", 50), 1),
        (hostile.tiff_of_pages(12), 12),
        (hostile.tiff_of_pages(12, loop=True), 12),
    ],
)
def test_frames_are_counted_without_the_decoder(content: bytes, frames: int) -> None:
    found = tried(content)
    assert isinstance(found, Decoded), found
    assert found.frames == frames


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_frames_are_as_many_as_pillow_finds(form: str) -> None:
    frames = [photo(seed=seed) for seed in range(5)]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    if form == "GIF":
        options |= {"comment": b"five of them", "duration": 80, "loop": 0}
    content = encoded(frames[0], form, **options)
    with Image.open(io.BytesIO(content)) as image:
        assert open_image(content).frames == getattr(image, "n_frames", 0) == 5


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg", "tiff_adobe_deflate"])
def test_tiffs_of_every_usual_kind_are_pictures(compression: str | None) -> None:
    content = encoded(photo(300, 200), "TIFF", compression=compression)
    assert isinstance(tried(content), Decoded)


@pytest.mark.slow
def test_numbers_of_any_size_are_only_numbers() -> None:
    """The walks read what they find as counts, lengths and places: none may raise, or go round for ever."""
    random = np.random.default_rng(4)
    starts = [encoded(photo(), form) for form in FORMATS if form not in ("WEBP", "AVIF")]
    starts += [b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**64 - 1) + b"\xff" * 64]
    for content in starts:
        form = sniff(content)
        assert form
        for _ in range(300):
            changed = bytearray(content)
            for place in random.integers(0, min(len(content), 400), 6):
                changed[place] = random.choice([0, 1, 127, 255])
            changed[:4] = content[:4]
            begun = time.thread_time()
            try:
                check_work(bytes(changed), form)
            except TooMuchWork as error:
                assert str(error)
            assert time.thread_time() - begun < SECONDS


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.exists(), reason="the maintainers' photographs are not here")
@pytest.mark.parametrize("folder", ["photos18", "photos5_noisy"])
def test_no_real_photograph_is_refused(folder: str) -> None:
    files = [path for path in (PHOTOS / folder).rglob("*") if path.is_file()]
    assert len(files) > 1000
    for path in files:
        content = path.read_bytes()
        check_work(content, sniff(content) or "")
