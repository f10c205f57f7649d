"""Tip-Adapter and Tip-Adapter-F (Zhang et al. 2022, arXiv 2111.03930): the draw is a cache beside the texts.

Logits are alpha * exp(-beta * (1 - f F')) L + scale * f W' (equations 3 to 6): f the image's feature, F those of the
draw, L their labels as one-hot rows, W the class texts, scale the model's temperature. Tip-Adapter-F trains F alone, by
the published recipe: AdamW, learning rate 0.001, epsilon 0.0001, 20 epochs, batches of 256, a cosine down to nothing.
The authors choose alpha and beta on a validation set; here, by cross-validation inside the draw.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn import functional as F

from fewshot.folds import folds
from fewshot.methods.zero_shot import class_embeddings
from fewshot.task import Draw, Fitted, Images, Task

PUBLISHED = (1.0, 5.5)  # alpha and beta, where nothing can be held back (section 4.1)


@dataclass(frozen=True)
class TipAdapter:
    """What the draw may choose from; the first of those that guess best, in order of their distance to PUBLISHED."""

    alphas: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    betas: tuple[float, ...] = (1.0, 2.0, 5.5, 12.0, 30.0)
    folds: int = 5

    def fit(self, draw: Draw, task: Task) -> Fitted:
        texts = class_embeddings(task)
        scale = float(task.clip.model.logit_scale.detach().exp())
        keys, values = draw.images.features(), np.eye(len(task.classes), dtype=np.float32)[draw.labels]
        alpha, beta = self._choose(keys, values, scale * keys @ texts.T, draw)
        keys, chosen = self._keys(keys, values, scale * texts, (alpha, beta), draw, task)

        def logits(images: Images) -> np.ndarray:
            features = images.features()
            return (scale * features @ texts.T + alpha * affinities(features, keys, beta) @ values).astype(np.float32)

        return Fitted(logits, {"alpha": alpha, "beta": beta} | chosen)

    def _keys(
        self,
        keys: np.ndarray,
        values: np.ndarray,
        texts: np.ndarray,
        chosen: tuple[float, float],
        draw: Draw,
        task: Task,
    ) -> tuple[np.ndarray, dict[str, float]]:
        """The keys of the cache, and what is to be said of them."""
        return keys, {}

    def _choose(self, keys: np.ndarray, values: np.ndarray, zero_shot: np.ndarray, draw: Draw) -> tuple[float, float]:
        parts = folds(draw, self.folds)
        if not parts:
            return PUBLISHED
        grid = sorted(product(self.alphas, self.betas), key=_away)
        right = np.zeros(len(grid))
        for fit, check in parts:
            for place, (alpha, beta) in enumerate(grid):
                cache = affinities(keys[check], keys[fit], beta) @ values[fit]
                right[place] += ((zero_shot[check] + alpha * cache).argmax(axis=1) == draw.labels[check]).sum()
        return grid[int(np.argmax(right))]


@dataclass(frozen=True)
class TipAdapterF(TipAdapter):
    lr: float = 1e-3
    epsilon: float = 1e-4
    epochs: int = 20
    batch_size: int = 256

    def _keys(
        self,
        keys: np.ndarray,
        values: np.ndarray,
        texts: np.ndarray,
        chosen: tuple[float, float],
        draw: Draw,
        task: Task,
    ) -> tuple[np.ndarray, dict[str, float]]:
        alpha, beta = chosen
        features, labels = torch.from_numpy(keys), torch.from_numpy(draw.labels)
        zero_shot, one_hot = features @ torch.from_numpy(texts).T, torch.from_numpy(values)
        trained = features.clone().requires_grad_()
        optimiser = torch.optim.AdamW([trained], lr=self.lr, eps=self.epsilon)
        batches = -(-len(labels) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * batches)
        random = torch.Generator().manual_seed(task.seed)
        for _ in range(self.epochs):
            for part in torch.randperm(len(labels), generator=random).tensor_split(batches):
                cache = torch.exp(beta * (features[part] @ trained.T - 1)) @ one_hot
                loss = F.cross_entropy(zero_shot[part] + alpha * cache, labels[part])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
        return trained.detach().numpy(), {"loss": round(float(loss.detach()), 4)}


def affinities(features: np.ndarray, keys: np.ndarray, beta: float) -> np.ndarray:
    """exp(-beta * (1 - cosine)) between (n, d) and (m, d): (n, m)."""
    return np.exp(beta * (features @ keys.T - 1))


def _away(chosen: tuple[float, float]) -> float:
    """How far from what is published, as factors."""
    return abs(np.log(chosen[0] / PUBLISHED[0])) + abs(np.log(chosen[1] / PUBLISHED[1]))
