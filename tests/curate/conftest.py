"""Rendered people, for all that looks at bodies."""

from pathlib import Path

import pytest

from curate.body.poses import chosen
from curate.workers.settings import WorkerSettings
from synth.rendering.folder import render_folder

PEOPLE = Path(__file__).with_name("people.yaml")  # not the shipped poses, which come nearer to photographs at times
POSES = chosen("all", PEOPLE)
SIZE, SEED, EACH = 320, 7, 2  # those of pose/mediapipe.json, which benchmarks/pose.py writes


@pytest.fixture(scope="session")
def rendered_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "photos"
    render_folder(out, POSES, EACH, size=SIZE, seed=SEED, workers=WorkerSettings(workers=1))
    return out
