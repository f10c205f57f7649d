"""A trained classifier in memory: pixels in, probabilities out."""

import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from curate.models import clip_models
from curate.models.normalisation import Normalisation
from fewshot.classifier import Classifier, Head
from fewshot.measuring.metrics import softmax
from fewshot.trained.about import About


class TrainedModel:
    """`tower` (open_clip's `visual`, fp32) and `head`, on `device`.

    Images pass a copy of the tower in `precision`: "bf16" where the device computes it natively, as in a sweep.
    """

    def __init__(self, about: About, classifier: Classifier, device: torch.device) -> None:
        self.about = about
        self.device = device
        self.tower: Any = classifier.tower.eval().requires_grad_(False).to(device)
        self.head: Head = classifier.head.to(device)
        self.normalise = Normalisation(about.mean, about.std, device)
        self.precision = clip_models.native_precision(device)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.about.classes

    @cached_property
    def _inference_tower(self) -> nn.Module:
        result: nn.Module = clip_models.for_use(copy.deepcopy(self.tower), self.precision)
        return result

    def logits(self, pixels: np.ndarray | torch.Tensor) -> np.ndarray:
        """(n, size, size, 3) uint8, made by `about.transform` -> (n, classes) float32."""
        features = clip_models.encode(self._inference_tower, self.normalise, pixels)
        with torch.inference_mode():
            result: np.ndarray = self.head(torch.from_numpy(features).to(self.device)).cpu().numpy()
            return result

    def probabilities(self, pixels: np.ndarray | torch.Tensor) -> np.ndarray:
        """(n, size, size, 3) uint8 -> (n, classes) float64 that sum to 1, calibrated by the model's temperature."""
        return softmax(self.logits(pixels) / np.float32(self.about.temperature))
