"""Tip-Adapter and Tip-Adapter-F (Zhang et al. 2022, arXiv 2111.03930): the draw is a cache beside the texts.

Logits are alpha * exp(-beta * (1 - f F')) L + scale * f W' (equations 3 to 6): f the image's feature, F those of the
draw, L their labels as one-hot rows, W the class texts, scale the model's temperature. Tip-Adapter-F trains F alone, by
the published recipe: AdamW, learning rate 0.001, epsilon 0.0001, 20 epochs, batches of 256, a cosine down to nothing.
The authors choose alpha and beta on a validation set; here, by cross-validation inside the draw, with the cache as it
is. The temperature is that of held-out images' logits; Tip-Adapter-F trains a cache for each fold, since trained keys
give surer answers than those that they come from. The caches of many draws and all their folds are trained together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from curate.foundation.options import option, settings
from fewshot.classifier import CacheHead
from fewshot.methods.tuning_options import EPOCHS, FOLDS, RATE
from fewshot.methods.zero_shot import class_embeddings
from fewshot.task import Draw, Fitted, Task, image_weights
from fewshot.training.calibration import temperature
from fewshot.training.folds import folds

PUBLISHED = (1.0, 5.5)  # alpha and beta, where nothing can be held back (section 4.1)
CPU_BYTES, GPU_BYTES = 2**27, 2**32  # of caches that are trained at once, with what AdamW keeps of each


@dataclass(frozen=True, eq=False)
class PreparedDraw:
    """A draw as it is used here: `keys` (n, d) and `labels` (n,); its `zero_shot` logits (n, classes); `fold_of` (n,),
    which fold an image is held out of, all 0 where there are none (`folds` 0); the trial's `seed`.
    """

    keys: np.ndarray
    labels: np.ndarray
    zero_shot: np.ndarray
    fold_of: np.ndarray
    folds: int
    seed: int

    @classmethod
    def of(cls, draw: Draw, seed: int, texts: np.ndarray, number: int) -> "PreparedDraw":
        """`texts` (classes, d) times the model's scale."""
        keys, fold_of, parts = draw.images.features(), np.zeros(len(draw.labels), np.int64), folds(draw, number)
        for fold, (_, check) in enumerate(parts):
            fold_of[check] = fold
        return cls(keys, draw.labels, keys @ texts.T, fold_of, len(parts), seed)

    @property
    def values(self) -> np.ndarray:
        """(n, classes) one-hot rows."""
        result: np.ndarray = np.eye(self.zero_shot.shape[1], dtype=np.float32)[self.labels]
        return result


@settings
class TipAdapter:
    """What the draw may choose from: of those with most right answers the nearest to PUBLISHED."""

    alphas: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("Weights of the cache beside the texts.", such_as="1,10", min_length=1),
    ] = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    betas: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("How sharply the cache's images count by their cosine.", such_as="1,5.5", min_length=1),
    ] = (1.0, 2.0, 5.5, 12.0, 30.0)
    folds: Annotated[int, FOLDS] = 5

    def fit(self, draw: Draw, task: Task) -> Fitted:
        return self.fit_batch([draw], [task])[0]

    def batching_is_faster(self, device: str) -> bool:
        return True

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> list[Fitted]:
        """Of tasks that differ in nothing but their seeds."""
        texts = class_embeddings(tasks[0]) * float(tasks[0].clip.model.logit_scale.detach().exp())
        given = [PreparedDraw.of(draw, task.seed, texts, self.folds) for draw, task in zip(draws, tasks, strict=True)]
        choices = [self._choose(each) for each in given]
        keys = self._keys(given, choices, tasks[0])
        heads = [
            CacheHead(texts, own, each.values, chosen["alpha"], chosen["beta"])
            for own, each, chosen in zip(keys, given, choices, strict=True)
        ]
        return [Fitted.on_features(head, tasks[0], chosen) for head, chosen in zip(heads, choices, strict=True)]

    def _choose(self, given: PreparedDraw) -> dict[str, float]:
        """Alpha, beta and, where something can be held back, the temperature."""
        if not given.folds:
            return dict(zip(("alpha", "beta"), PUBLISHED, strict=True))
        cosines, others = given.keys @ given.keys.T, given.fold_of[:, None] != given.fold_of
        caches = {beta: (np.exp(beta * (cosines - 1)) * others) @ given.values for beta in self.betas}
        grid = sorted(product(self.alphas, self.betas), key=_distance_to_published)
        held_out = [given.zero_shot + alpha * caches[beta] for alpha, beta in grid]
        best = int(np.argmax([(logits.argmax(axis=1) == given.labels).sum() for logits in held_out]))
        alpha, beta = grid[best]
        return {"alpha": alpha, "beta": beta, "temperature": temperature(held_out[best], given.labels)}

    def _keys(self, given: list[PreparedDraw], choices: list[dict[str, float]], task: Task) -> list[np.ndarray]:
        """The keys of each cache. What the record is to hold of them is added to `choices`."""
        return [each.keys for each in given]


@settings
class TipAdapterF(TipAdapter):
    lr: Annotated[float, RATE] = 1e-3
    epsilon: Annotated[float, option("Epsilon of AdamW.", gt=0)] = 1e-4
    epochs: Annotated[int, EPOCHS] = 20
    batch_size: Annotated[int, option("Number of images in a batch.", ge=1)] = 256

    def _keys(self, given: list[PreparedDraw], choices: list[dict[str, float]], task: Task) -> list[np.ndarray]:
        caches = [
            Cache.of(each, learned, chosen, task.class_weights)
            for each, chosen in zip(given, choices, strict=True)
            for learned in [each.labels >= 0, *(each.fold_of != fold for fold in range(each.folds))]
        ]
        trained = iter(self.train(caches, task.clip.device))
        keys = []
        for each, chosen in zip(given, choices, strict=True):
            own, chosen["loss"] = next(trained)
            keys.append(own)
            if each.folds:
                parts = [next(trained)[0] for _ in range(each.folds)]
                chosen["temperature"] = temperature(_held_out(each, parts, chosen), each.labels)
        return keys

    def train(self, caches: "list[Cache]", device: torch.device) -> list[tuple[np.ndarray, float]]:
        """The trained keys of each cache and the loss of its last batch, the same alone as among others."""
        trained: dict[int, tuple[np.ndarray, float]] = {}
        order = sorted(range(len(caches)), key=lambda place: self._batches(caches[place]))
        for batches, places in groupby(order, key=lambda place: self._batches(caches[place])):
            for part in _chunks(list(places), caches, device):
                results = self._train([caches[place] for place in part], batches, device)
                trained |= zip(part, results, strict=True)
        return [trained[place] for place in range(len(caches))]

    def _batches(self, cache: "Cache") -> int:
        return -(-len(cache.labels) // self.batch_size)

    def _train(self, caches: "list[Cache]", batches: int, device: torch.device) -> list[tuple[np.ndarray, float]]:
        """Of caches with equally many batches: `trained` (caches, n, d), images that one lacks having no part in it."""
        features, zero_shot, values, weights = (
            _padded([getattr(each, name) for each in caches]).to(device)
            for name in ("keys", "zero_shot", "values", "weights")
        )
        alpha, beta = (
            torch.tensor([getattr(each, name) for each in caches], dtype=torch.float32, device=device)[:, None, None]
            for name in ("alpha", "beta")
        )
        trained = features.clone().requires_grad_()
        optimiser = torch.optim.AdamW([trained], lr=self.lr, eps=self.epsilon)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * batches)
        rows = torch.arange(len(caches), device=device)[:, None]
        for images, counted in self._order(caches, batches):
            places = images.to(device)
            cosines = features[rows, places] @ trained.mT
            logits = zero_shot[rows, places] + alpha * (torch.exp(beta * (cosines - 1)) @ values)
            share = weights[rows, places] * counted.to(device)
            own = -(F.log_softmax(logits, dim=2) * values[rows, places]).sum(dim=2)
            losses = (own * share).sum(dim=1) / share.sum(dim=1)
            optimiser.zero_grad(set_to_none=True)
            losses.sum().backward()
            optimiser.step()
            schedule.step()
        keys, last = trained.detach().cpu().numpy(), losses.detach().cpu()
        return [(keys[place, : len(each.labels)], round(float(last[place]), 4)) for place, each in enumerate(caches)]

    def _order(self, caches: "list[Cache]", batches: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Every batch as (caches, m) places of images, and which of them count: those of small caches are repeated."""
        random = [torch.Generator().manual_seed(each.seed) for each in caches]
        for _ in range(self.epochs):
            shuffled = [
                torch.randperm(len(each.labels), generator=own).tensor_split(batches)
                for each, own in zip(caches, random, strict=True)
            ]
            for parts in zip(*shuffled, strict=True):
                yield (
                    torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True),
                    torch.nn.utils.rnn.pad_sequence([torch.ones(len(part)) for part in parts], batch_first=True),
                )


@dataclass(frozen=True, eq=False)
class Cache:
    """What is trained on: `keys` (n, d), `labels` (n,), `zero_shot` and `values` (n, classes), `weights` (n,)."""

    keys: np.ndarray
    labels: np.ndarray
    zero_shot: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    alpha: float
    beta: float
    seed: int

    @classmethod
    def of(cls, given: PreparedDraw, learned: np.ndarray, chosen: dict[str, float], class_weights: str) -> "Cache":
        """Of the images of a draw that are `learned` from (n,) bool."""
        weights = image_weights(given.labels, class_weights, learned).astype(np.float32)
        keys, labels, zero_shot, values, weights = (
            each[learned] for each in (given.keys, given.labels, given.zero_shot, given.values, weights)
        )
        return cls(keys, labels, zero_shot, values, weights, chosen["alpha"], chosen["beta"], given.seed)


def affinities(features: np.ndarray, keys: np.ndarray, beta: float) -> np.ndarray:
    """exp(-beta * (1 - cosine)) between (n, d) and (m, d): (n, m)."""
    result: np.ndarray = np.exp(beta * (features @ keys.T - 1))
    return result


def _held_out(given: PreparedDraw, trained: list[np.ndarray], chosen: dict[str, float]) -> np.ndarray:
    """(n, classes): each image's logits by the cache of the fold that it was held out of."""
    logits = given.zero_shot.copy()
    for fold, keys in enumerate(trained):
        check, fit = given.fold_of == fold, given.fold_of != fold
        logits[check] += chosen["alpha"] * affinities(given.keys[check], keys, chosen["beta"]) @ given.values[fit]
    return logits


def _chunks(places: list[int], caches: list[Cache], device: torch.device) -> Iterator[list[int]]:
    """As many caches at a time as memory is meant for, and at least one."""
    each = 8 * max(caches[place].keys.nbytes for place in places)
    at_once = max(1, (CPU_BYTES if device.type == "cpu" else GPU_BYTES) // each)
    for begin in range(0, len(places), at_once):
        yield places[begin : begin + at_once]


def _padded(arrays: list[np.ndarray]) -> torch.Tensor:
    """(caches, n, ...): stacked, zeros behind the short ones."""
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in arrays], batch_first=True)


def _distance_to_published(chosen: tuple[float, float]) -> float:
    """How far from what is published, as factors."""
    result: float = abs(np.log(chosen[0] / PUBLISHED[0])) + abs(np.log(chosen[1] / PUBLISHED[1]))
    return result
