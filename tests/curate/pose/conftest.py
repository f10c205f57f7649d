"""Rendered people, whose joints are known."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.pose.blazepose import BlazePose
from curate.pose.weights import find
from synth.rendering.folder import sidecar


@dataclass(frozen=True, eq=False)
class Rendered:
    file: Path
    coco: np.ndarray  # (17, 3): x, y in pixels, and visibility as COCO counts it

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}"

    @property
    def image(self) -> Image.Image:
        return Image.open(self.file).convert("RGB")


@pytest.fixture(scope="session")
def rendered(rendered_people: Path) -> list[Rendered]:
    told = map(json.loads, sidecar(rendered_people).read_text().splitlines())
    return [Rendered(rendered_people / one["file"], np.array(one["keypoints"])) for one in told]


@pytest.fixture(scope="session")
def blazepose() -> BlazePose:
    return BlazePose(find())
