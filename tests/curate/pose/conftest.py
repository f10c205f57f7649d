"""Rendered people, whose joints are known."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.pose.blazepose import BlazePose
from curate.pose.weights import find
from curate.workers.settings import WorkerSettings
from synth.rendering.folder import render_folder, sidecar

POSES = ("warrior_ii", "tree", "triangle", "plank", "chair")
SIZE, SEED, EACH = 320, 7, 2  # those of mediapipe.json, which benchmarks/pose.py writes


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
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "photos"
    render_folder(out, POSES, EACH, size=SIZE, seed=SEED, workers=WorkerSettings(workers=1))
    return out


@pytest.fixture(scope="session")
def rendered(photos: Path) -> list[Rendered]:
    told = map(json.loads, sidecar(photos).read_text().splitlines())
    return [Rendered(photos / one["file"], np.array(one["keypoints"])) for one in told]


@pytest.fixture(scope="session")
def blazepose() -> BlazePose:
    return BlazePose(find())
