"""A trained classifier in memory: pixels and joints in, probabilities out."""

import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from curate.models import clip_models
from curate.models.normalisation import Normalisation
from fewshot.classifier import BodyClassifier, Classifier, Head, ImageClassifier, Mixture, of_images
from fewshot.logits import mixed, probabilities
from fewshot.trained.about import About

Pixels = np.ndarray | torch.Tensor


class TrainedModel:
    """A classifier on `device`. The tower of what looks at pixels is open_clip's `visual`, fp32.

    Images pass a copy of the tower in `precision`: "bf16" where the device computes it natively, as in a sweep.
    """

    def __init__(self, about: About, classifier: Classifier, device: torch.device) -> None:
        self.about = about
        self.device = device
        self.classifier = classifier
        for each in images_of(classifier):
            each.tower.eval().requires_grad_(False).to(device)
            each.head.to(device)
        self.normalise = Normalisation(about.mean, about.std, device)
        self.precision = clip_models.native_precision(device)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.about.classes

    @property
    def tower(self) -> Any:
        """Of a classifier that looks at images alone (TypeError for others), as `head`."""
        return of_images(self.classifier).tower

    @property
    def head(self) -> Head:
        return of_images(self.classifier).head

    @property
    def needs_pixels(self) -> bool:
        return bool(images_of(self.classifier))

    @property
    def needs_joints(self) -> bool:
        return bool(self.about.keypoints)

    @cached_property
    def _inference_towers(self) -> dict[int, nn.Module]:
        return {
            id(each): clip_models.for_use(copy.deepcopy(each.tower), self.precision)
            for each in images_of(self.classifier)
        }

    def logits(self, pixels: Pixels | None = None, joints: np.ndarray | None = None) -> np.ndarray:
        """Of n images, (n, classes) float32. What the classifier doesn't look at may be None.

        pixels: (n, size, size, 3) uint8, made by `about.transform`.  joints: (n, 33, 5), of the surest person in each.
        """
        return self._say(self.classifier, pixels, joints)

    def probabilities(self, pixels: Pixels | None = None, joints: np.ndarray | None = None) -> np.ndarray:
        """As `logits`: (n, classes) float64 that sum to 1, calibrated by the model's temperature."""
        return probabilities(self.logits(pixels, joints), self.about.temperature)

    def _say(self, classifier: Classifier, pixels: Pixels | None, joints: np.ndarray | None) -> np.ndarray:
        if isinstance(classifier, Mixture):
            sides = [self._say(each, pixels, joints) for each in classifier.sides]
            return mixed(sides, classifier.temperatures, classifier.weights)
        if isinstance(classifier, BodyClassifier):
            if joints is None:
                raise TypeError("this classifier looks at joints")
            return classifier.logits(joints)
        if pixels is None:
            raise TypeError("this classifier looks at pixels")
        features = clip_models.encode(self._inference_towers[id(classifier)], self.normalise, pixels)
        with torch.inference_mode():
            result: np.ndarray = classifier.head(torch.from_numpy(features).to(self.device)).cpu().numpy()
            return result


def images_of(classifier: Classifier) -> list[ImageClassifier]:
    """All that look at pixels, in their order."""
    if isinstance(classifier, Mixture):
        return [found for each in classifier.sides for found in images_of(each)]
    return [classifier] if isinstance(classifier, ImageClassifier) else []
