"""Clips of drawn patterns: what is in them is known for each frame."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

RATE = 10  # frames a second


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Writes frames (h, w, 3) uint8, RGB, as a video; a lossless codec unless said."""
    cv2 = pytest.importorskip("cv2")

    def write(frames: list[np.ndarray], name: str = "clip.avi", codec: str = "FFV1") -> Path:
        path = tmp_path / name
        height, width = frames[0].shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), RATE, (width, height))
        assert writer.isOpened()
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        return path

    return write
