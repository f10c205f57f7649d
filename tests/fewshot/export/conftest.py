"""Trained models that took no training, and folders of drawn patterns that they can tell apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from curate import models
from curate.transform import Transform
from fewshot.classifier import CacheHead, Classifier, Head, LinearHead, powered
from fewshot.trained.about import About
from fewshot.trained.model import TrainedModel

CLASSES = ("bars", "rings", "waves")


def head_of(kind: str, features: list[np.ndarray]) -> Head:
    """A head that calls an image by the class, each with its (n, d) features, whose mean it is nearest to."""
    power = 0.5 if kind == "power" else 1.0
    directions = [F.normalize(powered(torch.from_numpy(each), power), dim=1).mean(dim=0) for each in features]
    means = F.normalize(torch.stack(directions), dim=1).double()
    common = F.normalize(means.mean(dim=0), dim=0)
    # All features of an untrained tower point much the same way, which says nothing of a class.
    own = means - (means @ common)[:, None] * common
    weights = own * 4 / own.square().sum(dim=1).mean()
    if kind == "cache":
        return CacheHead(weights, means, np.eye(len(means)), alpha=3.0, beta=5.5)
    return LinearHead(weights, torch.linspace(-0.1, 0.1, len(means)), power)


@pytest.fixture(scope="session")
def trained(draw_pattern: Callable[[int, int], np.ndarray]) -> Callable[..., TrainedModel]:
    """`trained("tiny/random", "cache", fit="pad")`: in fp32 wherever it runs, to compare with."""

    def build(
        name: str = "tiny/random", head: str = "linear", *, fit: str = "crop", threshold: float = 0.0
    ) -> TrainedModel:
        clip = models.load(name, device="cpu")
        clip.precision = "fp32"
        transform = Transform(clip.image_size, fit)
        shown = [[Image.fromarray(draw_pattern(kind, number)) for number in range(4)] for kind in range(len(CLASSES))]
        made = head_of(head, [clip.encode_images(np.stack([*map(transform.apply, each)])) for each in shown])
        architecture, quick = models.shape(clip)
        about = About(
            classes=CLASSES,
            texts=tuple((f"a photo of {each}",) for each in CLASSES),
            model=name,
            architecture=architecture,
            quick_gelu=quick,
            starting_weights=clip.image_digest,
            transform=transform,
            mean=clip.mean,
            std=clip.std,
            head={"kind": made.kind} | made.settings(),
            method="linear-probe",
            settings={},
            chosen={},
            temperature=1.3,
            threshold=threshold,
            trained_on={},
            measured={},
            versions={},
        )
        model = TrainedModel(about, Classifier(clip.model.visual, made), torch.device("cpu"))
        model.precision = "fp32"
        return model

    return build


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
