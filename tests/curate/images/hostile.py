"""Files that are small, and hold whoever decodes them for minutes: made by hand, for no program writes them."""

import io
import struct
import zlib

from PIL import Image

_DOT = struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\0"  # a frame of a GIF, of one pixel


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


# JPEG


def jpeg_with(segment: bytes, times: int) -> bytes:
    """A good JPEG that begins with a segment (its marker, and what it holds) so often."""
    content = _encoded(Image.new("RGB", (32, 32), "red"), "JPEG")
    return content[:2] + (segment[:2] + struct.pack(">H", len(segment)) + segment[2:]) * times + content[2:]


def jpeg_with_stray(junk: bytes) -> bytes:
    """A good JPEG with bytes of no segment before its picture."""
    content = _encoded(Image.new("RGB", (32, 32), "red"), "JPEG")
    return content[:20] + junk + content[20:]


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(chunks: bytes, side: int = 32) -> bytes:
    """A good PNG with more chunks before its pixels."""
    content = _encoded(Image.new("RGB", (side, side), "red"), "PNG")
    return content[:33] + chunks + content[33:]


def inflating(megabytes: int) -> bytes:
    """A thousandth of what it becomes."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def failing(megabytes: int) -> bytes:
    """The same, but that it breaks at its end: Pillow forgives a text that, and doesn't count it."""
    return inflating(megabytes)[:-4] + b"\xff\xff\xff\xff"


# GIF


def gif_of_frames(frames: int) -> bytes:
    content = _encoded(Image.new("P", (100, 100)), "GIF")
    return content[:-1] + _DOT * (frames - 1) + b";"


def gif_with_comment(block: bytes, times: int) -> bytes:
    """With a comment of so many blocks before its picture."""
    content = _encoded(Image.new("P", (100, 100)), "GIF")
    start = content.index(b",", 13 + (6 << (content[10] & 7)) if content[10] & 128 else 13)
    return content[:start] + b"!\xfe" + (bytes([len(block)]) + block) * times + b"\0" + content[start:]


# TIFF


def directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """entries: tag, type, count, value or place."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def page(width: int, height: int, **tags: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """The entries of a grey page whose pixels lie from byte 8 on; tags: t273=(type, count, value)."""
    entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    entries |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    return [(tag, *value) for tag, value in entries.items()]


def tiff(entries: list[tuple[int, int, int, int]], pixels: bytes, tail: bytes = b"", following: int = 0) -> bytes:
    """Header, pixels (an even number), the first directory, and what follows it."""
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory(entries, following) + tail


def tiff_of_pages(pages: int, *, loop: bool = False) -> bytes:
    """All of them the same picture of 8 x 8; loop: after the last comes the first."""
    entries = page(8, 8)
    size = len(directory(entries))
    places = [8 + 64 + number * size for number in range(pages)]
    following = [*places[1:], places[0] if loop else 0]
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + b"".join(directory(entries, each) for each in following)


def tiff_of_strips(strips: int) -> bytes:
    """A picture of 1,000 x 1,000 in two halves, again and again."""
    pixels = bytes(1_000_000)
    entries = page(1000, 1000, t278=(4, 1, 500))
    place = 8 + len(pixels) + len(directory(entries))
    entries = page(1000, 1000, t278=(4, 1, 500), t273=(4, strips, place), t279=(4, strips, place + 4 * strips))
    return tiff(entries, pixels, struct.pack("<I", 8) * strips + struct.pack("<I", 500_000) * strips)


def tiff_of_tile(side: int) -> bytes:
    """A picture of 16 x 16 in one tile that inflates to so many pixels both ways."""
    packed = inflating(1)
    packed += bytes(len(packed) % 2)
    tags = {"t259": (3, 1, 8), "t322": (4, 1, side), "t323": (4, 1, side), "t324": (4, 1, 8)}
    entries = [each for each in page(16, 16, **tags, t325=(4, 1, len(packed))) if each[0] not in (273, 278, 279)]
    return tiff(entries, packed)


# BMP


def run_length_bmp(width: int, height: int, coded: bytes, kind: int = 1) -> bytes:
    palette = b"".join(bytes((n, 0, n, 0)) for n in range(256))
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8 // kind, kind, len(coded), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(coded), 0, 0, start) + info + palette + coded
