"""A square part of a picture, turned and scaled to the size that a model sees."""

import numpy as np
from PIL import Image


def cut(image: Image.Image, square: np.ndarray, side: int, values: np.ndarray) -> np.ndarray:
    """The square as an array, (1, side, side, 3) float32; black where the picture ends.

    square: (2, 3), the map from the square's coordinates to the picture's, in pixels whose centres are whole numbers.
    values: (256,) float32, what the model is given for each colour's 0 to 255.
    """
    # Bilinear interpolation looks at four pixels, however far apart: what is much larger is first made smaller.
    smaller = int(np.hypot(*square[:, 0]) / 1.5)
    if smaller > 1:
        image = image.reduce(smaller)
        square = np.column_stack([square[:, :2] / smaller, (square[:, 2] + 0.5) / smaller - 0.5])
    # Pillow's coordinates are those of the pixels' corners.
    flat = np.column_stack([square[:, :2], square[:, 2] + 0.5 - square[:, :2].sum(1) / 2]).ravel().tolist()
    seen = image.transform((side, side), Image.Transform.AFFINE, tuple(flat), Image.Resampling.BILINEAR)
    return values.take(np.asarray(seen))[None]
