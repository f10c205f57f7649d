"""Bytes from outside become an upright 8-bit RGB picture here, or a typed reason why not.

Import, downloads and the pixel cache all decode through `open_image`, so that what was accepted once means the same
picture everywhere:

* of an animation (or a file of several pages) the first frame, `frames` says how many there are;
* EXIF orientation is applied, and `width` and `height` are those of the upright picture;
* transparency (alpha, palette or tRNS) is laid on white; palettes, 1-bit and grey become RGB;
* CMYK becomes RGB without colour management, Adobe's inverted kind included;
* 16-bit grey is scaled to 8 bits (never clipped); 32-bit integers and floats, whose white is not defined, are
  stretched from their smallest to their largest value.

Sizes, and what a file would cost its decoder (`work`), are checked before anything is decoded. Only FORMATS are tried.
"""

import io
import logging
import re
import stat
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image, features

from curate.foundation.errors import UsageError
from curate.images.work import TooMuchWork, check_work

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")

# Pillow itself refuses more than twice its MAX_IMAGE_PIXELS; a higher limit of ours would be an empty promise.
_PILLOW_MOST_PIXELS = 178_956_970

# Pillow remarks on damaged metadata and large pictures. Both are our business here, and say nothing to our user.
_PILLOW_REMARKS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # without one, Python prints its errors to stderr

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Cause(StrEnum):
    """Why bytes did not become a picture."""

    EMPTY = "empty file"
    TOO_MANY_BYTES = "too many bytes"
    TOO_MANY_PIXELS = "too many pixels"
    TOO_MUCH_WORK = "too much work"
    NOT_AN_IMAGE = "not an image"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"
    OUT_OF_MEMORY = "out of memory"
    NO_ACCESS = "cannot be opened"
    CHANGED = "changed since import"


class Unreadable(Exception):
    """These bytes are no picture for us; `cause` is for counting, `detail` for reading."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """What is refused before it is decoded.

    64 megapixels admit every full-frame camera and need 0.2 GB decoded; 50 MB admit every photograph on the web.
    """

    max_pixels: int = 64_000_000  # width x height, of one frame
    max_bytes: int = 50_000_000  # of the file

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= _PILLOW_MOST_PIXELS:
            raise UsageError(f"the limit on pixels must be 1 to {_PILLOW_MOST_PIXELS:,}, not {self.max_pixels:,}")
        if self.max_bytes < 1:
            raise UsageError(f"the limit on bytes must be at least 1, not {self.max_bytes:,}")


DEFAULT_LIMITS = Limits()
NO_LIMITS = Limits(
    max_pixels=_PILLOW_MOST_PIXELS, max_bytes=1 << 40
)  # for what was accepted before, and is known by id


@dataclass(frozen=True)
class Decoded:
    """A picture, and what the file said of it."""

    image: Image.Image  # upright, mode RGB or L; smaller than width x height where `draft` allowed it
    width: int  # of the upright picture at full size, pixels
    height: int
    format: str  # Pillow's name: JPEG, PNG, ... (MPO is a JPEG of several pictures)
    mode: str  # Pillow's mode of the file: RGB, CMYK, I;16, ...
    frames: int


def read_file(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a regular file. Raises Unreadable where it is too large, no regular file, or may not be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise Unreadable(Cause.NO_ACCESS, "not a regular file")
        if status.st_size > limits.max_bytes:
            raise _too_many_bytes(status.st_size, limits)
        with path.open("rb") as file:
            return file.read(status.st_size)  # without a size, a file that grows would never end
    except OSError as error:
        raise Unreadable(Cause.NO_ACCESS, error.strerror or type(error).__name__) from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(Cause.NO_ACCESS, f"no file can have this name ({error})") from error


def open_image(
    content: bytes, *, limits: Limits = DEFAULT_LIMITS, draft: tuple[int, int] | None = None, grey: bool = False
) -> Decoded:
    """Decode a whole picture.

    draft: width and height in pixels that suffice; a JPEG is then decoded at 1/2, 1/4 or 1/8 where that is at least as
        large both ways. It is several times faster, and not the same pixels as a full decode scaled down.
    grey: the image's mode is then L; of a JPEG the colours are read to their end, and not decoded.

    Raises Unreadable; whatever the bytes, nothing else.
    """
    if _PILLOW_REMARKS not in warnings.filters:
        warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")
    form = _format(content, limits)
    file = _Watched(content)
    try:
        frames = check_work(content, form)
        with Image.open(file, formats=[form]) as image:
            width, height = image.size
            check_pixels(width, height, limits)
            mode = image.mode
            if draft and form == "JPEG":  # asking others for their EXIF would decode them, and pass over what is broken
                wanted = draft if _orientation(image) < 5 else draft[::-1]
                image.draft("L" if grey else None, wanted)
            image.load()
            orientation = _orientation(image)
            picture = _upright(_l(image) if grey else _rgb(image), orientation)
            name = image.format or form
            frames = frames or _frames(image)
    except Unreadable:
        raise
    except TooMuchWork as error:
        raise Unreadable(Cause.TOO_MUCH_WORK, f"{form} with {error}") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(Cause.TOO_MANY_PIXELS, f"more than {_PILLOW_MOST_PIXELS:,} pixels") from error
    except MemoryError as error:
        raise Unreadable(Cause.OUT_OF_MEMORY, "this machine had not enough memory to decode it") from error
    except Exception as error:  # on hostile bytes Pillow's decoders raise nearly anything
        raise _why(content, form, file, error) from error
    if orientation >= 5:
        width, height = height, width
    return Decoded(picture, width, height, name, mode, frames)


class _Watched(io.BytesIO):
    """Bytes that remember whether their reader wanted more than there are: that is what truncated means."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.ran_out = False

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        # Decoders ask for large blocks and get what is left; but only the end of the file gives nothing, or less
        # than the few bytes of a header's field.
        if size is not None and size > 0 and (not found or len(found) < size <= 1024):
            self.ran_out = True
        return found


def _format(content: bytes, limits: Limits) -> str:
    """Which of FORMATS these bytes claim to be. Raises Unreadable where they claim none, are none or too many."""
    if not content:
        raise Unreadable(Cause.EMPTY, "0 bytes")
    if len(content) > limits.max_bytes:
        raise _too_many_bytes(len(content), limits)
    form = sniff(content)
    if form is None:
        raise Unreadable(Cause.NOT_AN_IMAGE, f"none of {', '.join(FORMATS)}; it starts with {content[:24]!r}")
    if form in ("WEBP", "AVIF") and not features.check(form.lower()):
        raise Unreadable(Cause.UNSUPPORTED, f"this Pillow was built without {form}")
    return form


def sniff(content: bytes) -> str | None:
    """The format that the first bytes name, one of FORMATS, or None. The rest may still be damaged."""
    starts = {
        b"\xff\xd8\xff": "JPEG",
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"GIF8": "GIF",
        b"BM": "BMP",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
        b"II+\0": "TIFF",
        b"MM\0+": "TIFF",
    }
    for start, form in starts.items():
        if content.startswith(start):
            return form
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    # The brand may be a general one (mif1); HEIC shares the container and lacks these.
    if content[4:8] == b"ftyp" and (b"avif" in content[8:64] or b"avis" in content[8:64]):
        return "AVIF"
    return None


def _too_many_bytes(size: int, limits: Limits) -> Unreadable:
    return Unreadable(Cause.TOO_MANY_BYTES, f"{size:,} bytes; the limit is {limits.max_bytes:,}")


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raises Unreadable."""
    if width * height > limits.max_pixels:
        raise Unreadable(Cause.TOO_MANY_PIXELS, f"{width} x {height} pixels; the limit is {limits.max_pixels:,}")


def _why(content: bytes, form: str, file: _Watched, error: Exception) -> Unreadable:
    """Truncated or damaged, told by what was read and what the header promises, not by what Pillow says of it."""
    if file.ran_out or _promised(content, form) > len(content):
        return Unreadable(Cause.TRUNCATED, f"the {form} ends before its picture does ({len(content):,} bytes)")
    return Unreadable(Cause.DAMAGED, f"{form} that cannot be decoded ({type(error).__name__}: {error})")


def _promised(content: bytes, form: str) -> int:
    """The file's length in bytes by its own headers, for the formats that Pillow reads in one go; 0 for the others."""
    if form == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8
    end = 0
    while form == "AVIF" and end + 8 <= len(content):  # a chain of boxes, each of which starts with its length
        length = int.from_bytes(content[end : end + 4], "big")
        if length < 8:  # to the end of the file, or longer than 4 GB
            break
        end += length
    return end


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Damaged EXIF is as good as none: the picture itself may well be whole."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  (its parser, too, raises nearly anything)
        return 1
    return value if value in _UPRIGHT else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _rgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as 8-bit RGB."""
    if image.mode.startswith("I;16"):
        return _grey((np.asarray(image).astype(np.uint32) + 128) // 257)  # 65535 is 255
    if image.mode in ("I", "F"):
        return _grey(_stretched(np.asarray(image), image.format))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise Unreadable(Cause.UNSUPPORTED, f"there is no way from mode {image.mode} to RGB") from error


def _l(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as 8-bit grey."""
    plain = image.mode in ("L", "RGB") and not image.has_transparency_data
    return (image if plain else _rgb(image)).convert("L")


def _grey(values: np.ndarray) -> Image.Image:
    """(height, width) values 0 to 255 as RGB."""
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def _stretched(values: np.ndarray, form: str | None) -> np.ndarray:
    """32-bit values (height, width) to 0..255. Some Pillows open a 16-bit PNG as 32-bit; its white is known."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = (0.0, 65535.0) if form == "PNG" else (values.min(), values.max())
    return np.rint((values - low) * (255 / (high - low))) if high > low else np.zeros_like(values)


def _frames(image: Image.Image) -> int:
    """How many frames can be found. The first was decoded already; a later one may well be cut off."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  (as above)
        return 1
