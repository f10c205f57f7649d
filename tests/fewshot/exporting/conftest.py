"""Folders of drawn patterns, and a model that tells them apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.trained.model import TrainedModel

CLASSES = ("bars", "rings", "waves")


@pytest.fixture(scope="session")
def tiny_model(trained: Callable[..., TrainedModel]) -> TrainedModel:
    return trained()


@pytest.fixture(scope="session")
def shown(draw_pattern: Callable[[int, int], np.ndarray]) -> Callable[[TrainedModel], np.ndarray]:
    """Two pictures of each class, as a model looks at them: (6, size, size, 3) uint8."""

    def build(model: TrainedModel) -> np.ndarray:
        pictures = [draw_pattern(kind, 50 + number) for kind in range(len(CLASSES)) for number in range(2)]
        return np.stack([model.about.transform.apply(Image.fromarray(each)) for each in pictures])

    return build


@pytest.fixture
def photographs(tmp_path: Path, draw_pattern: Callable[[int, int], np.ndarray]) -> Callable[..., Path]:
    """A folder per class with so many pictures each: `photographs(bars=12, rings=12)`."""

    def build(**sizes: int) -> Path:
        for label, size in sizes.items():
            folder = tmp_path / "photographs" / label
            folder.mkdir(parents=True)
            kind = CLASSES.index(label) if label in CLASSES else len(CLASSES)
            for number in range(size):
                Image.fromarray(draw_pattern(kind, 100 + number)).save(folder / f"{number}.png")
        return tmp_path / "photographs"

    return build
