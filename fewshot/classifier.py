"""A trained method, reduced to what its use takes: an image tower with a head, a forest of postures, or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional as F

from curate.pose import classifier as postures
from curate.pose.forest import Forest

_LEAST = 1 / 1024  # a share: where a few hundred votes all went elsewhere, a class is unlikely and not impossible
SMALLEST = 1e-12  # least magnitude of a feature under the square root, whose derivative is infinite at 0


class Head(nn.Module):
    """From image features (n, d) of any length to logits (n, classes). Its arrays are buffers: nothing is trained."""

    kind: ClassVar[str]
    numbers: ClassVar[tuple[str, ...]]  # its settings, which a JSON file can hold

    def scores(self, features: np.ndarray) -> np.ndarray:
        """As `forward`, of an array: (n, classes) float32."""
        with torch.inference_mode():
            result: np.ndarray = self(torch.from_numpy(features)).numpy()
            return result

    def settings(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in self.numbers}


class LinearHead(Head):
    """features ** power, sign kept, of length 1, times `weights` (classes, d) plus `bias` (classes,).

    Zero-shot, with the class texts times the model's temperature as `weights`; or a linear probe, with what it learned.
    """

    kind = "linear"
    numbers = ("power",)
    weights: Tensor
    bias: Tensor

    def __init__(self, weights: np.ndarray | Tensor, bias: np.ndarray | Tensor | None = None, power: float = 1.0):
        super().__init__()
        self.power = power
        self.register_buffer("weights", _array(weights))
        self.register_buffer("bias", torch.zeros(len(self.weights)) if bias is None else _array(bias))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(powered(features.float(), self.power), dim=1) @ self.weights.T + self.bias


class CacheHead(Head):
    """Tip-Adapter's: f `texts`' + alpha * exp(-beta * (1 - f `keys`')) `values`, f the features of length 1.

    `texts` (classes, d) times the model's temperature, `keys` (m, d) of length 1, `values` (m, classes).
    """

    kind = "cache"
    numbers = ("alpha", "beta")
    texts: Tensor
    keys: Tensor
    values: Tensor

    def __init__(
        self,
        texts: np.ndarray | Tensor,
        keys: np.ndarray | Tensor,
        values: np.ndarray | Tensor,
        alpha: float,
        beta: float,
    ):
        super().__init__()
        self.alpha, self.beta = alpha, beta
        for name, each in {"texts": texts, "keys": keys, "values": values}.items():
            self.register_buffer(name, _array(each))

    def forward(self, features: Tensor) -> Tensor:
        directions = F.normalize(features.float(), dim=1)
        cache = torch.exp(self.beta * (directions @ self.keys.T - 1)) @ self.values
        return directions @ self.texts.T + self.alpha * cache


HEADS: dict[str, type[Head]] = {each.kind: each for each in (LinearHead, CacheHead)}


@dataclass(frozen=True)
class ImageClassifier:
    """`tower`: open_clip's `visual`, fp32, from normalised images (n, 3, size, size) to features. It owns its weights,
    or shares those of a model that nobody changes.
    """

    tower: Any
    head: Head


@dataclass(frozen=True)
class BodyClassifier:
    """`forest`: its classes are places in the `classes` that are told apart, of which it may know some only."""

    forest: Forest
    classes: int

    def logits(self, joints: np.ndarray) -> np.ndarray:
        """(n, 33, 5), as keypoints.joints -> (n, classes) float32; all 0 where there is nobody."""
        there = np.isfinite(joints[:, :, 0]).any(axis=1)
        seen = postures.views(joints[there])
        each = self.forest.probabilities(seen.reshape(-1, seen.shape[-1]))
        shares = np.zeros((int(there.sum()), self.classes))
        shares[:, self.forest.classes] = each.reshape(*seen.shape[:2], len(self.forest.classes)).mean(axis=0)
        logits = np.zeros((len(joints), self.classes), np.float32)
        logits[there] = np.log(np.maximum(shares, _LEAST))
        return logits


@dataclass(frozen=True)
class Mixture:
    """What several classifiers say together, see `mixed`."""

    sides: "tuple[Classifier, ...]"
    temperatures: tuple[float, ...]
    weights: tuple[float, ...]


Classifier = ImageClassifier | BodyClassifier | Mixture


def of_images(classifier: Classifier) -> ImageClassifier:
    """One that looks at images alone. Raises TypeError for others."""
    if not isinstance(classifier, ImageClassifier):
        raise TypeError("it looks at the body, too")
    return classifier


def mixed(sides: Sequence[np.ndarray], temperatures: Sequence[float], weights: Sequence[float]) -> np.ndarray:
    """Logits (n, classes) float32 of several sides as one: the mean of their log-probabilities, each side's logits
    divided by its temperature, by their weights (a logarithmic opinion pool: Genest and Zidek 1986).

    A side that finds all classes of an image alike has no say in it.
    """
    total = np.zeros(sides[0].shape)
    say = np.zeros((len(total), 1))
    for logits, temperature, weight in zip(sides, temperatures, weights, strict=True):
        speaks = weight * (np.ptp(logits, axis=1, keepdims=True) > 0)
        total += speaks * log_softmax(logits.astype(np.float64) / temperature, axis=1)
        say += speaks
    return np.asarray(total / np.where(say > 0, say, 1), np.float32)


def powered(values: Tensor, power: float) -> Tensor:
    """values ** power with their signs."""
    if power == 1:
        return values
    sizes = values.abs().clamp(min=SMALLEST)
    sizes = sizes.sqrt() if power == 0.5 else sizes**power
    return torch.where(values < 0, -sizes, sizes)  # ONNX has no copysign


def _array(values: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(values).detach().float().cpu().contiguous()
