"""The model of the process that asks, in another process: the same weights and precision, or an error that says why."""

import socket
from dataclasses import dataclass
from pathlib import Path

from curate.foundation.errors import FewposeError
from curate.models import clip_models
from curate.models.clip_models import ClipModel


@dataclass(frozen=True)
class SameModel:
    """What a worker needs to have the same model."""

    name: str
    checkpoint: Path | None
    precision: str  # of the frozen encoder, whose features are cached
    weights: str  # digest of the image tower

    @classmethod
    def as_(cls, clip: ClipModel, checkpoint: Path | None) -> "SameModel":
        """checkpoint: that it was loaded from."""
        return cls(clip.name, checkpoint and checkpoint.resolve(), clip.precision, clip.image_digest)

    def load(self, device: str) -> ClipModel:
        """Raises FewposeError where this machine has other weights of it."""
        clip = clip_models.load(self.name, checkpoint=self.checkpoint, device=device)
        clip.precision = self.precision
        if clip.image_digest != self.weights:
            raise FewposeError(
                f"a worker on {socket.gethostname()} has other weights of {self.name} than the machine that asks; "
                "all need the same files and the same packages"
            )
        return clip
