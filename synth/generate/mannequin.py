"""Images without weights: the mannequins of our renderer."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version

from curate.foundation.errors import UsageError
from synth.generate.control import poses_digest, poses_of
from synth.generate.image_job import ImageJob, Made
from synth.generate.settings import MANNEQUIN, Settings
from synth.rendering.folder import SIZES
from synth.rendering.render import render

SIZE = 256  # pixels, where nothing else was asked for


class Mannequin:
    """A Generator (synth/generate/image_job.py). Raises UsageError for a size that the renderer can't draw."""

    batch = 1

    def __init__(self, settings: Settings) -> None:
        self.size = settings.width or settings.height or SIZE
        if (settings.height or self.size) != self.size:
            raise UsageError(f"--model {MANNEQUIN} draws squares; --size {settings.width}x{settings.height} is none")
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise UsageError(f"--model {MANNEQUIN} draws {SIZES[0]} to {SIZES[1]} pixels, not {self.size}")

    def weights(self) -> str:
        """What stands for the digest of a model's weights: the poses and this version of the renderer."""
        return hashlib.sha256(f"{poses_digest()} {version('fewpose')}".encode()).hexdigest()[:16]

    def make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        """Each job's mannequin, with its keypoints. Raises UsageError for a class that no pose shows."""
        return [_drawn(job, self.size) for job in jobs]

    def facts(self) -> dict[str, str]:
        return {
            "generator": MANNEQUIN,
            "model": MANNEQUIN,
            "weights": self.weights(),
            "size": f"{self.size}x{self.size}",
            "device": "cpu",
            "versions": f"fewpose {version('fewpose')}, numpy {version('numpy')}",
        }


def _drawn(job: ImageJob, size: int) -> Made:
    poses = poses_of(job.label)
    if not poses:
        raise UsageError(f"there is no pose of data/poses.yaml (see: synth poses) for {job.label}")
    # The job's seed holds all that tells it from others; the index is the renderer's own.
    drawn = render(poses[job.index % len(poses)], seed=job.seed, size=size)
    return Made(job, drawn.image, drawn.keypoints)
