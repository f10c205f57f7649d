"""How a picture becomes a square of pixels: CLIP's resize and centre crop, or padding to a square.

The transform is part of the key of everything computed from pixels. Normalisation (mean, std) belongs to the model
instead: the stored pixels are uint8 and serve every model of one input size.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.foundation.errors import UsageError

# Raised when the pixels that `apply` makes change, so that older caches are not used.
VERSION = 2
PAD_COLOUR = (123, 117, 104)  # CLIP's mean: zero after normalisation
# A longer strip is cut to its middle before it is resized: a file of 1 x 1,000,000 pixels would else take 150 GB.
MOST_ASPECT = 128


@dataclass(frozen=True)
class Transform:
    """`size`: side in pixels. `fit`: "crop" (shorter side to `size`, centre crop) or "pad" (longer side, then pad)."""

    size: int = 224
    fit: str = "crop"

    def __post_init__(self) -> None:
        if self.fit not in ("crop", "pad"):
            raise UsageError(f"--fit must be crop or pad, not {self.fit!r}")

    @property
    def name(self) -> str:
        return f"{self.size}-{self.fit}-v{VERSION}"

    def draft_size(self) -> tuple[int, int]:
        """The least size at which a JPEG may be decoded: twice ours, so that bicubic resizing decides the result."""
        return 2 * self.size, 2 * self.size

    def apply(self, image: Image.Image) -> np.ndarray:
        """An upright RGB picture -> (size, size, 3) uint8, as open_clip's evaluation transform does it.

        Its own, bit for bit, with "crop" up to an aspect of MOST_ASPECT.
        """
        side = min(image.size) if self.fit == "crop" else max(image.size)
        if self.fit == "crop":
            image = _middle(image, MOST_ASPECT * side)
        # torchvision's rounding: the exact side is set, the other truncated.
        scaled = tuple(max(1, self.size if length == side else int(self.size * length / side)) for length in image.size)
        resized = image.resize((scaled[0], scaled[1]), Image.Resampling.BICUBIC)
        return self._crop(resized) if self.fit == "crop" else self._pad(resized)

    def seen(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Where the square that `apply` makes lies on a picture of this size: left, top, right, bottom in its pixels.

        Within a pixel of the square's: `apply` rounds the shorter side down. With "pad" it reaches beyond the picture.
        """
        side = min(width, height) if self.fit == "crop" else max(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def _crop(self, image: Image.Image) -> np.ndarray:
        left, top = (round((length - self.size) / 2) for length in image.size)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))

    def _pad(self, image: Image.Image) -> np.ndarray:
        square = Image.new("RGB", (self.size, self.size), PAD_COLOUR)
        square.paste(image, ((self.size - image.width) // 2, (self.size - image.height) // 2))
        return np.asarray(square)


def _middle(image: Image.Image, longest: int) -> Image.Image:
    """The middle of a picture, with no side longer than `longest`."""
    left, top = (max(0, length - longest) // 2 for length in image.size)
    return image.crop((left, top, image.width - left, image.height - top)) if left or top else image
