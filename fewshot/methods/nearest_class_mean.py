"""Nearest class mean: the cosine between an image and the mean of each class's training images.

Mensink et al. 2013 ("Distance-based image classification", TPAMI 35(11)), with the frozen model's features; the class
means are the prototypes of Snell et al. 2017 (arXiv 1703.05175). Nothing is trained. The scale of the
cosines, which changes no answer but how sure it is, is chosen on the draw, and so is the temperature: each image is
held back from its own class's mean.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from curate.foundation.options import option, settings
from fewshot.classifier import LinearHead
from fewshot.task import Draw, Fitted, Task
from fewshot.training.calibration import temperature


@settings
class NearestClassMean:
    scales: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("What the cosines may be multiplied by.", such_as="10,100", min_length=1),
    ] = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)

    def fit(self, draw: Draw, task: Task) -> Fitted:
        features = draw.images.features()
        sums = np.zeros((len(task.classes), features.shape[1]), np.float32)
        np.add.at(sums, draw.labels, features)
        means = _unit(sums)
        absent = np.bincount(draw.labels, minlength=len(means)) == 0
        chosen = self._chosen(features, draw, sums)
        scale = chosen["scale"]
        # The mean of no image has length 0; its cosine counts as -1.
        return Fitted.on_features(LinearHead(scale * means, np.where(absent, -scale, 0.0)), task, chosen)

    def _chosen(self, features: np.ndarray, draw: Draw, sums: np.ndarray) -> dict[str, float]:
        """The scale with the least log loss of images whose class has others, and the temperature of those logits.

        The middle scale and no temperature where there are none.
        """
        held = np.flatnonzero(_others(draw))
        if not len(held):
            return {"scale": self.scales[len(self.scales) // 2]}
        cosines = _held_out(features, draw, sums)[held]
        losses = [_log_loss(scale * cosines, draw.labels[held]) for scale in self.scales]
        scale = self.scales[int(np.argmin(losses))]
        return {"scale": scale, "temperature": temperature(scale * cosines, draw.labels[held])}


def _held_out(features: np.ndarray, draw: Draw, sums: np.ndarray) -> np.ndarray:
    """(n, classes): cosines of images with the class means, their own class's made without them and their copies."""
    cosines = features @ _unit(sums).T
    _, same = np.unique(np.stack([draw.groups, draw.labels]), axis=1, return_inverse=True)
    copies = np.zeros((same.max() + 1, features.shape[1]), np.float32)
    np.add.at(copies, same, features)
    own = _unit(sums[draw.labels] - copies[same])
    cosines[np.arange(len(features)), draw.labels] = (own * features).sum(axis=1)
    result: np.ndarray = cosines
    return result


def _others(draw: Draw) -> np.ndarray:
    """(n,): whether an image's class has other pictures."""
    pictures = np.unique(np.stack([draw.groups, draw.labels]), axis=1)[1]
    result: np.ndarray = np.bincount(pictures)[draw.labels] > 1
    return result


def _unit(vectors: np.ndarray) -> np.ndarray:
    result: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return result


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
