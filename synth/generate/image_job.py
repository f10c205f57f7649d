"""One image that is to be made, and what became of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Source:
    """The real image that one is made from."""

    id: str  # content id
    path: Path


@dataclass(frozen=True)
class Control:
    """The skeleton that an image is to show."""

    id: str  # what it was drawn from: "pose tree 3", or the content id of a real image
    # COCO's 17: x, y, and visibility 0, 1, 2. x, y are parts of the side of the largest square in the middle of the
    # image; beyond it they are below 0 or above 1.
    keypoints: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class ImageJob:
    """One image to make: all that its pixels depend on beside the settings, so it is the same alone or in a batch."""

    label: str
    index: int  # among those of its label and settings, and of its source where it has one
    key: str  # in the image table: LABEL/synthetic-DIGEST-00007.png, or ...-SOURCE-007.png
    seed: int  # of a generator of its own
    prompt: str = ""
    negative: str = ""
    source: Source | None = None
    control: Control | None = None


@dataclass(frozen=True)
class Made:
    """What a generator made of a job. image: upright RGB; None where the pipeline's safety checker refused it."""

    job: ImageJob
    image: Image.Image | None
    keypoints: np.ndarray | None = None  # (17, 3) pixels and visibility, where the generator knows them


class Generator(Protocol):
    """What makes images, in one process and on one device."""

    batch: int  # how many jobs `make` should be given at once; it may become smaller

    def make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        """The image of each job, in their order. Raises FewposeError where not even one image fits into memory."""

    def facts(self) -> dict[str, str]:
        """Of provenance.FACTS, what holds for all its images: model, weights, scheduler, steps, versions, license..."""


def seed(user: int, label: str, index: int, digest: str) -> int:
    """63 bits from content alone, so that image 7 is the same whoever makes it, and when."""
    text = "\0".join((str(user), label, str(index), digest))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
