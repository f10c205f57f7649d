"""Images without weights: real ones of a draw, turned, cropped, mirrored and recoloured at random.

Everything is mild, so that the pose stays the pose: nothing is turned by more than a few degrees, and at least 70 %
of the picture is kept. A mirrored pose is the same pose.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms import v2

from curate.foundation.errors import UsageError
from synth.generate import sources
from synth.generate.image_job import ImageJob, Made
from synth.generate.settings import AUGMENT, Settings

LONGEST = 512  # pixels of the longer side, where no size was asked for
KEPT = (0.7, 1.0)  # of the area
_ASPECT = 1.15  # by how much width / height may change, up or down
_MARGIN = 0.15  # of each side: mirrored there, so that what is turned has no black corners


class Augment:
    """A Generator (synth/generate/image_job.py) whose jobs have a source."""

    batch = 1

    def __init__(self, settings: Settings) -> None:
        self._width = settings.width or settings.height
        self._height = settings.height or settings.width

    def weights(self) -> str:
        """What stands for the digest of a model's weights: the recipe, which is this file."""
        return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]

    def make(self, jobs: Sequence[ImageJob]) -> list[Made]:
        """Each job's source, changed. Raises UsageError where it has none, FewposeError where it can't be read."""
        return [Made(job, self._changed(job)) for job in jobs]

    def facts(self) -> dict[str, str]:
        told = {
            "generator": AUGMENT,
            "model": AUGMENT,
            "weights": self.weights(),
            "device": "cpu",
            "versions": ", ".join(f"{name} {version(name)}" for name in ("fewpose", "torch", "torchvision", "pillow")),
        }
        return told | ({"size": f"{self._width}x{self._height}"} if self._width else {})

    def _changed(self, job: ImageJob) -> Image.Image:
        if job.source is None:
            raise UsageError(f"--model {AUGMENT} changes real images; say which: --from-draw split=0,shots=6")
        image = self._sized(sources.original(job.source))
        # torchvision knows no generator of one's own; only the CPU's is touched, and it is given back.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(job.seed)
            changed: Image.Image = _changes(image.width, image.height)(image)
        return changed

    def _sized(self, image: Image.Image) -> Image.Image:
        """As large as the results are to be."""
        if self._width and self._height:
            return sources.fitted(image, self._width, self._height)
        scale = min(1.0, LONGEST / max(image.size))
        return sources.fitted(image, max(1, round(image.width * scale)), max(1, round(image.height * scale)))


def _changes(width: int, height: int) -> v2.Transform:
    """The recipe for images of this size."""
    margin = [min(round(_MARGIN * side), side - 1) for side in (width, height)]
    aspect = width / height
    blur = 5 if min(width, height) > 5 else 1  # pixels: one as wide as the image can't be had
    smooth = v2.InterpolationMode.BILINEAR
    return v2.Compose(
        [
            v2.Pad(margin, padding_mode="reflect"),
            v2.RandomAffine(degrees=10, shear=(-6, 6, -6, 6), interpolation=smooth),
            v2.CenterCrop((height, width)),
            v2.RandomResizedCrop(
                (height, width), KEPT, (aspect / _ASPECT, aspect * _ASPECT), v2.InterpolationMode.BICUBIC
            ),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.4, hue=0.03),
            v2.RandomGrayscale(0.05),
            v2.RandomAutocontrast(0.2),
            v2.RandomAdjustSharpness(2.0, 0.2),
            v2.RandomApply([v2.GaussianBlur(blur, (0.1, 1.2))], 0.2),
        ]
    )
