"""The colours and letters of the pictures that explain: matplotlib's, an optional extra, imported when one is drawn."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import ImageFont

from curate.foundation.errors import FewposeError

COLOURS = "inferno"  # from dark to light in even steps, whatever kind of colour vision one has


def coloured(values: np.ndarray) -> np.ndarray:
    """Values (...) from 0 to 1 as colours (..., 3), each channel 0 to 1. Raises FewposeError as `matplotlib` does."""
    colours: Any = matplotlib().colormaps[COLOURS]
    return np.asarray(colours(values)[..., :3])


def font(size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu, which matplotlib brings along: Pillow's own font has Latin letters only."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib().get_data_path()) / "fonts" / "ttf" / name), size)


def matplotlib() -> ModuleType:
    """Raises FewposeError, which says what to install, where it is missing."""
    try:
        import matplotlib as module
    except ImportError as error:
        raise FewposeError("pictures that explain need a package: pip install 'fewpose[explain]'") from error
    return module
