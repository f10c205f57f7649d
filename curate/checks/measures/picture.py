"""A picture as the measures see it: small, in colours and in grey."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 384  # pixels: the long side of what is measured; smaller pictures are measured as they are


@dataclass(frozen=True)
class Picture:
    """A picture of at most SIDE x SIDE pixels."""

    rgb: np.ndarray  # (height, width, 3) uint8
    grey: np.ndarray  # (height, width) float32, 0 to 255

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """Of an RGB image of any size, which stays as it is."""
        small = image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
        return cls(np.asarray(small), np.asarray(small.convert("L"), dtype=np.float32))
