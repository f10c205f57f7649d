"""A linear probe: multinomial logistic regression on the frozen model's normalised image features.

As in Radford et al. 2021 (arXiv 2103.00020, appendix A.3), with the L2 strength chosen by cross-validation. Here it
is chosen on the draw alone, and copies of one picture stay in one fold. Many draws are solved together: every power,
strength and fold of each (fewshot/training/logistic.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from curate.foundation.options import option, settings
from fewshot.classifier import LinearHead, powered
from fewshot.methods.tuning_options import FOLDS
from fewshot.task import Draw, Fitted, Task, fit_alone, image_weights
from fewshot.training import logistic
from fewshot.training.calibration import temperature
from fewshot.training.folds import folds
from fewshot.training.logistic import Problems

# Where the solver stops (the length of the mean loss's gradient): near enough to compare strengths, and the result.
ROUGH, EXACT = 1e-5, 1e-8
# How much is solved at once: on a CPU what its caches hold, on a GPU a small part of its memory.
CPU_BYTES, GPU_BYTES = 2**25, 2**32


@settings
class LinearProbe:
    """What the draw may choose from, by cross-validated accuracy in `folds` parts.

    Of `powers`, 0.5 is the power normalisation of Perronnin et al. 2010, which suits the non-negative, heavy-tailed
    features of convolutional towers; 1 leaves them alone.
    """

    strengths: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("Values of scikit-learn's C, the inverse of the L2 strength.", such_as="1,10,100", min_length=1),
    ] = (3.2, 10.0, 32.0, 100.0, 320.0)
    powers: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("Powers of the features before they are normalised, sign kept.", such_as="1,0.5", min_length=1),
    ] = (1.0, 0.5)
    folds: Annotated[int, FOLDS] = 5

    def fit(self, draw: Draw, task: Task) -> Fitted:
        return fit_alone(self, draw, task)

    def batching_is_faster(self, device: str) -> bool:
        return True

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> "list[Fitted | Exception]":
        """Of tasks that differ in nothing but their seeds. A LinAlgError for features that are not numbers."""
        task, given = tasks[0], [_PreparedDraw.of(draw, tasks[0], self.folds) for draw in draws]
        finite = [each for each in given if np.isfinite(each.features).all()]
        with logistic.one_thread_full_precision():
            solved = (_solve(part, self._choose(part, task), task) for part in _chunks(finite, len(self.powers), task))
            fitted = dict(zip(map(id, finite), chain.from_iterable(solved), strict=True))
        return [fitted.get(id(each), np.linalg.LinAlgError("the features are not numbers")) for each in given]

    def _choose(self, given: "list[_PreparedDraw]", task: Task) -> list[dict[str, float]]:
        """For each draw C, the power and, where something can be held back, the temperature."""
        middle = {"C": self.strengths[len(self.strengths) // 2], "power": self.powers[0]}
        able = [each for each in given if len(each.folds)]
        held_out = iter(self._held_out(able, task) if able else [])
        return [self._best(next(held_out), each) if len(each.folds) else middle for each in given]

    def _held_out(self, given: "list[_PreparedDraw]", task: Task) -> np.ndarray:
        """(draws, powers, strengths, n, classes): every image's logits by the fold that it was held out of."""
        features = [_normalised(each.features, power) for each in given for power in self.powers]
        labels = [each.labels for each in given for _ in self.powers]
        weights = [each.folds for each in given for _ in self.powers]
        problems = _problems(features, labels, weights, task, torch.float32)
        fold_of = _padded([torch.from_numpy(each.fold_of) for each in given for _ in self.powers])
        places = fold_of.to(problems.labels.device)[:, None, :, None].expand(-1, -1, -1, len(task.classes))
        solutions = logistic.regularisation_path(problems, self.strengths, ROUGH)
        found = torch.stack([solution.logits.gather(1, places)[:, 0] for solution in solutions], dim=1)
        result: np.ndarray = found.unflatten(0, (len(given), len(self.powers))).cpu().numpy()
        return result

    def _best(self, logits: np.ndarray, draw: "_PreparedDraw") -> dict[str, float]:
        """The power and strength that guess most of the held-out images, from (powers, strengths, n, classes)."""
        logits = logits[:, :, : len(draw.labels)]
        power, strength = plateau((logits.argmax(axis=-1) == draw.labels).sum(axis=-1))
        chosen = {"C": self.strengths[strength], "power": self.powers[power]}
        if (known := draw.known).any():
            chosen["temperature"] = temperature(logits[power, strength][known], draw.labels[known])
        return chosen


def plateau(right: np.ndarray) -> tuple[int, int]:
    """The place of the largest of (powers, strengths) counts of right guesses.

    Neighbouring strengths count half, so that a plateau beats a peak; the first of equals wins.
    """
    padded = np.pad(right.astype(float), ((0, 0), (1, 1)), mode="edge")
    smooth = padded[:, :-2] / 2 + padded[:, 1:-1] + padded[:, 2:] / 2
    power, strength = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return int(power), int(strength)


@dataclass(frozen=True, eq=False)
class _PreparedDraw:
    """A draw as the probe uses it: `features` (n, d), `labels` (n,), `folds` (f, n) the weights of the images that each
    fold learns from, and `fold_of` (n,) which fold an image is held out of.
    """

    features: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    fold_of: np.ndarray

    @classmethod
    def of(cls, draw: Draw, task: Task, number: int) -> "_PreparedDraw":
        parts = folds(draw, number)
        weights, fold_of = np.zeros((len(parts), len(draw.labels))), np.zeros(len(draw.labels), np.int64)
        for fold, (_, check) in enumerate(parts):
            fold_of[check] = fold
        for fold in range(len(parts)):
            weights[fold] = image_weights(draw.labels, task.class_weights, fold_of != fold)
        return cls(draw.images.features(), draw.labels, weights, fold_of)

    @property
    def known(self) -> np.ndarray:
        """(n,): whether an image's class has others in the fold that it is held out of."""
        learned = np.zeros((len(self.folds), self.labels.max() + 1), bool)
        for fold, weights in enumerate(self.folds):
            learned[fold, self.labels[weights > 0]] = True
        result: np.ndarray = learned[self.fold_of, self.labels]
        return result


def _chunks(given: list[_PreparedDraw], powers: int, task: Task) -> Iterator[list[_PreparedDraw]]:
    """As many draws at a time as memory is meant for, and at least one."""
    if not given:
        return
    most = CPU_BYTES if task.clip.device.type == "cpu" else GPU_BYTES
    each = max(
        logistic.bytes_of_set(len(draw.labels), draw.features.shape[1], max(1, len(draw.folds)), len(task.classes), 4)
        for draw in given
    )
    at_once = max(1, most // (powers * each))
    for begin in range(0, len(given), at_once):
        yield given[begin : begin + at_once]


def _solve(given: list[_PreparedDraw], chosen: list[dict[str, float]], task: Task) -> list[Fitted]:
    """The probes of draws, at the settings that are chosen for them."""
    features = [_normalised(draw.features, settled["power"]) for draw, settled in zip(given, chosen, strict=True)]
    whole = [image_weights(draw.labels, task.class_weights)[None] for draw in given]
    problems = _problems(features, [draw.labels for draw in given], whole, task, torch.float64)
    strengths = torch.tensor([settled["C"] for settled in chosen], dtype=torch.float64)
    (solution,) = logistic.regularisation_path(problems, [strengths], EXACT)
    weights, bias = (each[:, 0].float().cpu().numpy() for each in solution.linear())
    return [
        Fitted.on_features(LinearHead(own, offset, settled["power"]), task, settled)
        for own, offset, settled in zip(weights, bias, chosen, strict=True)
    ]


def _problems(
    features: list[torch.Tensor], labels: list[np.ndarray], weights: list[np.ndarray], task: Task, dtype: torch.dtype
) -> Problems:
    device = task.clip.device
    return Problems(
        _padded(features).to(device, dtype),
        _padded([torch.from_numpy(each) for each in labels]).to(device),
        _padded([torch.from_numpy(each) for each in weights]).to(device, dtype),
        len(task.classes),
    )


def _padded(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Stacked, with zeros behind those that are shorter than others."""
    sizes = [max(lengths) for lengths in zip(*(each.shape for each in tensors), strict=True)]
    whole = tensors[0].new_zeros((len(tensors), *sizes))
    for place, each in enumerate(tensors):
        whole[place][tuple(slice(length) for length in each.shape)] = each
    return whole


def _normalised(features: np.ndarray, power: float) -> torch.Tensor:
    """(n, d) -> (n, d) float64 of length 1, after a power that keeps the sign."""
    values = powered(torch.from_numpy(features).double(), power)
    result: torch.Tensor = values / values.norm(dim=1, keepdim=True)
    return result
