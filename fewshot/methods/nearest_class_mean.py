"""Nearest class mean: the cosine between an image and the mean of each class's training images.

Mensink et al. 2013 ("Distance-based image classification", TPAMI 35(11)), with the frozen model's features; the class
means are the prototypes of Snell et al. 2017 (arXiv 1703.05175). Nothing is trained. The temperature, which changes no
guess but says how sure it is, is chosen on the draw: each image is held back from its own class's mean.
"""

from dataclasses import dataclass

import numpy as np

from fewshot.task import Draw, Fitted, Images, Task


@dataclass(frozen=True)
class NearestClassMean:
    temperatures: tuple[float, ...] = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)  # that the cosines are multiplied by

    def fit(self, draw: Draw, task: Task) -> Fitted:
        features = draw.images.features()
        sums = np.zeros((len(task.classes), features.shape[1]), np.float32)
        np.add.at(sums, draw.labels, features)
        means = _unit(sums)
        absent = np.bincount(draw.labels, minlength=len(means)) == 0
        scale = self._temperature(features, draw, sums)

        def logits(images: Images) -> np.ndarray:
            cosines = images.features() @ means.T
            return scale * np.where(absent, -1.0, cosines).astype(np.float32)

        return Fitted(logits, {"temperature": scale}, {"weights": scale * means})

    def _temperature(self, features: np.ndarray, draw: Draw, sums: np.ndarray) -> float:
        """The one with the least log loss, of images whose class has others; the middle one where there are none."""
        held = [i for i in range(len(features)) if (draw.labels == draw.labels[i]).sum() > _copies(draw, i)]
        if not held:
            return self.temperatures[len(self.temperatures) // 2]
        cosines = np.stack([self._without(i, features, draw, sums) for i in held])
        losses = [_log_loss(scale * cosines, draw.labels[held]) for scale in self.temperatures]
        return self.temperatures[int(np.argmin(losses))]

    def _without(self, i: int, features: np.ndarray, draw: Draw, sums: np.ndarray) -> np.ndarray:
        """Cosines of image i with the class means, its own class's made without it and its copies."""
        own = draw.labels == draw.labels[i]
        others = sums.copy()
        others[draw.labels[i]] -= features[own & (draw.groups == draw.groups[i])].sum(axis=0)
        return _unit(others) @ features[i]


def _copies(draw: Draw, i: int) -> int:
    """How many images of its class are the same picture, itself among them."""
    return int(((draw.groups == draw.groups[i]) & (draw.labels == draw.labels[i])).sum())


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
