"""What a file asks of its decoder, counted in its container before anything is decoded.

Bytes and pixels are limited elsewhere. Within those limits a file can hold its decoder for minutes: a progressive JPEG
may go over its whole frame thousands of times, for 80 bytes each; a PNG may hold a hundred thousand texts that
inflate to a megabyte each. Such work is limited here: generously against what cameras, editors and the web write (the
most that was seen in photographs: docs/security.md), and so that the costliest file that passes takes seconds.

Whether a file is whole is not told here: where a container breaks off, the walk ends, and its decoder says why. WebP
and AVIF have no walk: what their decoders do follows from the pixels of one frame.
"""

import re
import struct

MOST_SCANS = 100  # of a JPEG; progressive ones have 6 to 15
MOST_SCANNED = 2_600_000_000  # pixels of all scans of a JPEG together: 14 of the largest frame, in about 4 s
MOST_SEGMENTS = 2_000  # of a JPEG, before its picture and after; 50 MB of full ones are 763
MOST_PARSED = 4_000_000  # bytes of EXIF and of Photoshop's resources in a JPEG, which Pillow takes apart
MOST_STRAY = 1_000_000  # bytes before a JPEG's picture that belong to no segment: Pillow reads them one by one
MOST_CHUNKS = 1_000  # of a PNG, besides those of its pixels
MOST_PAGES = 10_000  # of a TIFF
MOST_TAGS = 4_096  # of a TIFF's page; libtiff reads no more either
MOST_VALUES = 200_000  # of a TIFF's tag; the palette of a picture of 16 bits has 196,608
MOST_TILE = 1 << 22  # pixels of a TIFF's tile that is larger than four times its picture
MOST_CODED = 4_000_000  # bytes of a BMP in run-length coding, whose decoder is written in Python
MOST_CODED_PIXELS = 16_000_000

# Blocks of a GIF, or chunks of a PNG's pixels: any number up to the first figure, and one to so many bytes more.
_FREE_PIECES = 10_000
_BYTES_A_PIECE = 64


class TooMuchWork(Exception):
    """Says what there is too much of."""


def check_work(content: bytes, form: str) -> int | None:
    """Raises TooMuchWork where decoding these bytes, of a format by Pillow's name, would take too long.

    Returns the number of frames where the walk has told it: of a GIF or TIFF, at least 1.
    """
    match form:
        case "JPEG":
            _check_jpeg(content)
        case "PNG":
            _check_png(content)
        case "BMP":
            _check_bmp(content)
        case "GIF":
            return max(1, _gif_frames(content))
        case "TIFF":
            return max(1, _tiff_pages(content))
    return None


def _limit(count: int, most: int, what: str) -> None:
    if count > most:
        raise TooMuchWork(f"more than {most:,} {what}")


# JPEG

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # \xff\0 stands for a value, D0 to D7 are restarts between values
_SCAN, _END, _APP1, _PHOTOSHOP = 0xFFDA, 0xFFD9, 0xFFE1, 0xFFED
_FRAMES = frozenset({*range(0xFFC0, 0xFFD0)} - {0xFFC4, 0xFFC8, 0xFFCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ARITHMETIC, _ARITHMETIC_COST = frozenset(range(0xC9, 0xD0)), 8  # times as slow as Huffman's codes, at the worst
# What Pillow and libjpeg both pass over by its length. Inside of what only one of them passes over, the walk goes on.
_WITH_LENGTH = _FRAMES | {0xFFC4, *range(0xFFDA, 0xFFF0), 0xFFFE}
_TELLING = _FRAMES | {_SCAN, _END, _APP1, _PHOTOSHOP}
_MARKER_AND_LENGTH = struct.Struct(">HH").unpack_from


def _check_jpeg(content: bytes) -> None:
    first, frame = _first_of_scans(content)
    if not first:
        return
    most, at, scans = _most_scans(frame), first, 0
    for _ in range(MOST_SEGMENTS):
        marker, _, at = _segment(content, at)
        if marker == _END:
            return
        scans += marker == _SCAN
        _limit(scans, most, "scans")
    raise TooMuchWork(f"more than {MOST_SEGMENTS:,} segments between its scans")


def _first_of_scans(content: bytes) -> tuple[int, bytes]:
    """Where the first scan begins, and the segment that describes the frame. The place is 0 where libjpeg decodes one
    scan alone, or there is none. Up to there Pillow goes from segment to segment.
    """
    frame, end, stray, parsed = b"", 2, 0, 0
    for _ in range(MOST_SEGMENTS):  # each takes half a microsecond, all of them 1 % of decoding a small photograph
        marker, begin, following = _segment(content, end)
        stray += begin - end
        end = following
        if marker not in _TELLING:
            continue
        if marker == _SCAN or begin == len(content):
            break
        if marker in _FRAMES:
            frame = frame or content[begin:end]
        elif marker == _PHOTOSHOP or (marker == _APP1 and content.startswith(b"Exif", begin + 4)):
            parsed += end - begin
    else:
        raise TooMuchWork(f"more than {MOST_SEGMENTS:,} segments")
    _limit(stray, MOST_STRAY, "stray bytes before the picture")
    _limit(parsed, MOST_PARSED, "bytes of EXIF and Photoshop's resources")
    several = marker == _SCAN and not _holds_everything(content[begin:end], frame)
    return begin if several else 0, frame


def _segment(content: bytes, at: int) -> tuple[int, int, int]:
    """The next segment's marker, where it begins, and where it ends; where there is none, the end of the picture."""
    if at + 4 <= len(content):
        marker, length = _MARKER_AND_LENGTH(content, at)
        if marker in _WITH_LENGTH:
            return marker, at, at + 2 + (length if length > 2 else 2)
    found = _MARKER.search(content, at)
    if not found:
        return _END, len(content), len(content)
    marker, at = int.from_bytes(found[0], "big"), found.start()
    length = max(2, int.from_bytes(content[at + 2 : at + 4], "big")) if marker in _WITH_LENGTH else 0
    return marker, at, at + 2 + length


def _most_scans(frame: bytes) -> int:
    pixels = int.from_bytes(frame[5:7], "big") * int.from_bytes(frame[7:9], "big")
    most = MOST_SCANNED // _ARITHMETIC_COST if frame[1:2] and frame[1] in _ARITHMETIC else MOST_SCANNED
    return min(MOST_SCANS, most // max(1, pixels))


def _holds_everything(scan: bytes, frame: bytes) -> bool:
    """Whether a scan has all components of its frame, and each in full."""
    return len(scan) > 4 and len(frame) > 9 and frame[1] not in _PROGRESSIVE and scan[4] == frame[9]


# PNG


def _check_png(content: bytes) -> None:
    at, pixels, others = 8, 0, 0
    most = _FREE_PIECES + len(content) // _BYTES_A_PIECE
    while (kind := content[at + 4 : at + 8]) and kind != b"IEND":
        if kind in (b"IDAT", b"fdAT", b"fcTL"):
            pixels += 1
        else:
            others += 1
        _limit(pixels, most, "chunks of pixels")
        _limit(others, MOST_CHUNKS, "chunks besides those of pixels")
        at += 12 + int.from_bytes(content[at : at + 4], "big")


# GIF

_BLOCK = re.compile(rb"[!,;]")


def _gif_frames(content: bytes) -> int:
    frames = blocks = 0
    most = _FREE_PIECES + len(content) // _BYTES_A_PIECE
    try:
        at = 13 + _palette(content[10])
        while (found := _BLOCK.search(content, at)) and found[0] != b";":
            blocks += 1 + found.start() - at  # what is between two, Pillow reads byte by byte
            at = found.end()
            if found[0] == b"!":
                at += 1  # what kind of an extension
            else:
                at += 10 + _palette(content[at + 8])
                frames += at <= len(content)
            while size := content[at]:
                at += 1 + size
                blocks += 1
            at += 1
            _limit(blocks, most, "blocks")
    except IndexError:  # cut off
        _limit(blocks, most, "blocks")
    return frames


def _palette(flags: int) -> int:
    """The bytes of a palette."""
    return 6 << (flags & 7) if flags & 128 else 0


# TIFF

_WIDTH, _HEIGHT, _STRIPS, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _TILES = 256, 257, 273, 278, 322, 323, 324
_LISTS = frozenset({258, _STRIPS, 320, _TILES, 338, 339})  # tags that Pillow makes a list of, value by value
_SIZES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4, 16: 8}  # bytes of the types that are whole numbers
_PLANES = 8  # Pillow decodes six at most


def _tiff_pages(content: bytes) -> int:
    reader = _Tiff(content)
    at = reader.first
    pages: set[int] = set()
    while 0 < at < len(content) and at not in pages:
        if not pages:
            reader.check_page(at)
        pages.add(at)
        _limit(len(pages), MOST_PAGES, "pages")
        at = reader.behind(at)
    return len(pages)


class _Tiff:
    """Reads directories as Pillow does. Behind the end of the file all numbers are 0."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._little = content.startswith(b"II")
        big = content[2:3] == b"+"
        self._count, self._entry, self._pointer = (8, 20, 8) if big else (2, 12, 4)  # bytes
        self.first = self._number(8 if big else 4, self._pointer)

    def behind(self, page: int) -> int:
        """Where the next page is; 0 for none."""
        return self._number(page + self._count + self._entry * self._number(page, self._count), self._pointer)

    def check_page(self, page: int) -> None:
        tags = self._number(page, self._count)
        _limit(tags, MOST_TAGS, "tags")
        lengths: dict[int, int] = {}
        values: dict[int, int] = {}
        for at in range(page + self._count, page + self._count + self._entry * tags, self._entry):
            tag, kind, count = self._number(at, 2), self._number(at + 2, 2), self._number(at + 4, self._pointer)
            if tag in _LISTS:
                _limit(count, MOST_VALUES, "values of one tag")
                lengths[tag] = max(count, lengths.get(tag, 0))
            elif count == 1 and kind in _SIZES:
                values.setdefault(tag, self._number(at + 4 + self._pointer, _SIZES[kind]))
        _check_pieces(lengths, values)

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._content[at : at + size], "little" if self._little else "big")


def _check_pieces(lengths: dict[int, int], values: dict[int, int]) -> None:
    """lengths, values: of the tags that are lists, and of those that are one number."""
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    rows, tile = values.get(_ROWS, height), (values.get(_TILE_WIDTH, 0), values.get(_TILE_HEIGHT, 0))
    if tile[0] * tile[1] > max(MOST_TILE, 4 * width * height):
        raise TooMuchWork(f"tiles of {tile[0]} x {tile[1]} pixels in a picture of {width} x {height}")
    for tag, (across, down) in {_STRIPS: (width, rows), _TILES: tile}.items():
        if min(width, height, across, down) > 0:
            needed = -(-width // across) * -(-height // down)
            _limit(lengths.get(tag, 0), _PLANES * needed, "strips or tiles, in a picture that needs fewer")


# BMP


def _check_bmp(content: bytes) -> None:
    """Any but the run-length codings are read as they lie."""
    coding = int.from_bytes(content[30:34], "little")
    if int.from_bytes(content[14:18], "little") >= 40 and coding in (1, 2):
        width, height = (abs(int.from_bytes(content[at : at + 4], "little", signed=True)) for at in (18, 22))
        _limit(len(content), MOST_CODED, "bytes in run-length coding")
        _limit(width * height, MOST_CODED_PIXELS, "pixels in run-length coding")
