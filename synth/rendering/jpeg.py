"""How images are written."""

import io

from PIL import Image

QUALITY = 92


def encoded(image: Image.Image, quality: int = QUALITY) -> bytes:
    """The image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
