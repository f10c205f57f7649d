"""Text search: the text tower of the collection's own model, as a model of FiftyOne's zoo.

FiftyOne remembers an index's model by name and arguments only, and makes it again in whatever process searches: the
App's server, or a notebook tomorrow. curate/app/zoo/manifest.json gives it the name.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiftyone.core.config as foc
import fiftyone.core.models as fom
import numpy as np

if TYPE_CHECKING:
    from curate.models.clip_models import ClipModel


class TextTowerConfig(foc.Config):  # type: ignore[misc]  # FiftyOne has no types
    """clip: as in `--model`.  checkpoint: an absolute path, or ""."""

    def __init__(self, d: dict[str, Any]) -> None:
        self.clip = self.parse_string(d, "clip")
        self.checkpoint = self.parse_string(d, "checkpoint", default="")


class TextTower(fom.Model, fom.PromptMixin):  # type: ignore[misc]  # FiftyOne has no types
    """Embeds prompts, as they were typed, beside the image features of the same model. Raises FewposeError."""

    def __init__(self, config: TextTowerConfig) -> None:
        self.config = config

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def can_embed_prompts(self) -> bool:
        return True

    def embed_prompt(self, prompt: str) -> np.ndarray:
        result: np.ndarray = self.embed_prompts([prompt])[0]
        return result

    def embed_prompts(self, prompts: list[str]) -> np.ndarray:
        """n texts -> (n, d) float32, each of length 1."""
        features = _load(self.config.clip, self.config.checkpoint).encode_texts(list(prompts))
        result: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
        return result


def untrained(clip: str, checkpoint: str = "") -> bool:
    """Whether the text tower of a model never learned anything, so that what it finds means nothing."""
    return not checkpoint and (clip == "lite0" or clip.endswith("/random"))


# Here, not in the model: FiftyOne makes a new model for every search, and this takes seconds.
@lru_cache(maxsize=1)
def _load(clip: str, checkpoint: str) -> "ClipModel":
    from curate.models import clip_models

    return clip_models.load(clip, checkpoint=Path(checkpoint) if checkpoint else None, device="cpu")
