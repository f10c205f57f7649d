"""Training the visual projection alone: ProLIP (Fahes et al. 2024, arXiv 2410.05270), all splits in one tensor program.

The projection is the matrix W that takes the image tower's pooled output to the space of the texts. The loss is the
cross-entropy over the frozen class texts, plus lambda * ||W - W0||^2 (equation 3), W0 being the model's own. By the
published recipe: all images in one batch, Adam with epsilon 1e-4, 300 steps, a cosine down to nothing; a bias stays as
it is. What the authors choose on a validation set is chosen by cross-validation inside the draw: the learning rate, and
lambda if several powers of 1/N are given (N images a class; 1/N and 1/N^2 are the authors' where they have no
validation set). Their grid, 7 rates by 7 values of lambda, would be 49 times the work; theirs are 300 steps each, and
with the defaults here a trial of ViT-B/32's 768 x 512 takes 12 of these: 16 s at 66 images, 30 s at 220 (one core).

The authors train on 300 augmented views of each image. Here the tower's outputs are computed once for each image, as
it is: `Task.augment` changes nothing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings
from curate.models.clip_models import ClipModel
from fewshot.classifier import ImageClassifier, LinearHead
from fewshot.methods.zero_shot import class_embeddings
from fewshot.task import Diverged, Draw, Fitted, Images, Task, fit_alone, image_weights
from fewshot.training import frozen_trunk, low_rank
from fewshot.training.calibration import temperature
from fewshot.training.folds import Parts, folds

# What the stacked matrices, their gradients and moments may take at once. On a CPU more is no faster: the products of
# one split, all its folds and settings side by side, are large already.
BYTES = {"cpu": 2**28, "cuda": 2**33}
NOISE = 0.05  # a rise of the loss by less than this part of chance level's is no divergence


@settings
class Projection:
    """What the draw may choose from, by cross-validated accuracy in `folds` parts, of equals by their log loss.

    `rates`: of learning; `powers`: lambda is 1 / N ** power. Where nothing can be held back, the first of each holds:
    1e-5 and 1 / N, with which the authors do without a validation set.
    """

    rates: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        option("Learning rates of Adam.", such_as="1e-5,1e-4", min_length=1),
    ] = (1e-5, 1e-4, 1e-3)
    powers: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        option("Powers p of lambda = 1 / N ** p, N images a class.", such_as="1,2", min_length=1),
    ] = (1.0,)
    iterations: Annotated[int, option("Number of steps.", ge=1)] = 300
    folds: Annotated[int, option("Number of parts of the draw that are held back in turn.", ge=2)] = 3

    def check(self, clip: ClipModel) -> None:
        """Raises UsageError for a model whose image tower does not end in a linear projection."""
        _projection(clip)

    def fit(self, draw: Draw, task: Task) -> Fitted:
        """Raises Diverged."""
        return fit_alone(self, draw, task)

    def batching_is_faster(self, device: str) -> bool:
        return True

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> list[Fitted | Exception]:
        """Of one model and one wording of the classes."""
        model = _Model.of(tasks[0])
        fitted: list[Fitted | Exception] = []
        for few in _chunks(draws, model, len(self.powers) * (self.folds + 1)):
            problems = self._problems(few, tasks[0].class_weights, model)
            fitted += [_fitted(best, model) for best in self._best(problems)]
        return fitted

    def _problems(self, draws: Sequence[Draw], class_weights: str, model: "_Model") -> "_Problems":
        """Each draw whole and without each fold, for each power; shorter draws are padded with weightless images."""
        parts = [_parts(draw, self.folds) for draw in draws]
        images, fits = max(len(draw.labels) for draw in draws), max(map(len, parts))
        inputs = np.zeros((len(draws), images, len(model.start)), np.float32)
        labels = np.zeros((len(draws), images), np.int64)
        weights = np.zeros((len(draws), images, len(self.powers), fits), np.float32)
        penalties = np.zeros((len(draws), len(self.powers), fits), np.float32)
        for place, (draw, fit_check) in enumerate(zip(draws, parts, strict=True)):
            inputs[place, : len(draw.labels)] = model.inputs(draw.images)
            labels[place, : len(draw.labels)] = draw.labels
            for number, (fit, _) in enumerate(fit_check):
                learned = draw.labels[fit]
                weights[place, fit, :, number] = image_weights(learned, class_weights)[:, None]
                shots = len(learned) / len(np.unique(learned))
                penalties[place, :, number] = [shots**-power for power in self.powers]
        wide = weights.reshape(len(draws), images, -1), penalties.reshape(len(draws), -1)
        tensors = (inputs, inputs @ model.start + model.bias, labels, *wide, model.texts)
        return _Problems(parts, self.powers, *(torch.from_numpy(each).to(model.clip.device) for each in tensors))

    def _best(self, problems: "_Problems") -> "list[_Trained]":
        """For each draw, what the chosen settings make of all of it."""
        best: list[_Trained | None] = [None] * len(problems.parts)
        for rate in self.rates:
            for place, trained in problems.train(rate, self.iterations):
                current = best[place]
                if current is None or trained.better_than(current):
                    best[place] = trained
        return [trained for trained in best if trained is not None]


@dataclass(frozen=True)
class _Model:
    """`start` (d, o) and `bias` (o,) of the projection, and the class `texts` (C, o), of the temperature's length."""

    clip: ClipModel
    start: np.ndarray
    bias: np.ndarray
    texts: np.ndarray

    @classmethod
    def of(cls, task: Task) -> "_Model":
        scale = float(task.clip.model.logit_scale.detach().exp())
        return cls(task.clip, *_projection(task.clip), class_embeddings(task) * np.float32(scale))

    def inputs(self, images: Images) -> np.ndarray:
        """What goes into the projection, (n, d) float32."""
        return frozen_trunk.activations(images, self.clip, 0).float().cpu().numpy()


@dataclass(frozen=True)
class _Trained:
    """One draw's change of the projection by one choice of settings, and its logits for the images held out."""

    change: np.ndarray  # (d, o)
    rate: float
    penalty: float
    held: np.ndarray  # the logits (m, classes)
    truth: np.ndarray  # their labels (m,); m may be 0
    before: float
    after: float
    classes: int

    def better_than(self, other: "_Trained") -> bool:
        return len(self.truth) > 0 and self._score() > other._score()

    def _score(self) -> tuple[int, float]:
        if not np.isfinite(self.held).all():
            return -1, 0.0
        right = int((self.held.argmax(axis=1) == self.truth).sum())
        logits, truth = torch.from_numpy(self.held), torch.from_numpy(self.truth)
        return right, -float(F.cross_entropy(logits.double(), truth))

    def failure(self) -> Diverged | None:
        if self.after <= self.before + NOISE * math.log(self.classes):
            return None
        return Diverged(f"the loss rose from {self.before:.2f} to {self.after:.2f}; a smaller rate may do")


@dataclass(frozen=True)
class _Problems:
    """Trainings that are done at once: S draws, K of each (settings x the draw and its folds), n images, C classes.

    The K stand side by side in one wide matrix, since they look at the same images.
    """

    parts: list[Parts]  # of each draw: first all of it, then its folds
    powers: tuple[float, ...]
    inputs: Tensor  # (S, n, d)
    start: Tensor  # (S, n, o), what the model's own projection makes of them
    labels: Tensor  # (S, n)
    weights: Tensor  # (S, n, K), 0 for what is held out
    penalties: Tensor  # (S, K), lambda
    texts: Tensor  # (C, o), of length temperature

    def train(self, rate: float, iterations: int) -> Iterator[tuple[int, _Trained]]:
        """Each draw's place and trained projection, for each power."""
        shape = (len(self.inputs), self.inputs.shape[2], self.weights.shape[2], self.start.shape[2])
        change = torch.zeros(shape, device=self.inputs.device, dtype=self.inputs.dtype, requires_grad=True)
        # Adam takes the same steps for W - W0 as for W, as there is no weight decay.
        optimiser = torch.optim.Adam([change], lr=rate, eps=1e-4, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
        losses: list[Tensor] = []
        for _ in range(iterations):
            loss = self.loss(change)
            (change.grad,) = torch.autograd.grad(loss.sum(), change)
            optimiser.step()
            schedule.step()
            losses = [*losses[:1], loss.detach()]
        with torch.inference_mode():
            losses = [losses[0], self.loss(change)]
            logits = self.logits(change).cpu().numpy()
        yield from self._apart(change.detach(), logits, [each.cpu() for each in losses], rate)

    def logits(self, change: Tensor) -> Tensor:
        """`change` of the projections (S, d, K, o) -> (S, n, K, C)."""
        moved = (self.inputs @ change.flatten(2)).unflatten(2, change.shape[2:])
        return F.normalize(self.start.unsqueeze(2) + moved, dim=3) @ self.texts.T

    def loss(self, change: Tensor) -> Tensor:
        """(S, K); the sum's gradient is each one's own."""
        logits = self.logits(change)
        labels = self.labels.unsqueeze(2).expand(logits.shape[:3])
        each = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view(labels.shape)
        total = self.weights.sum(dim=1).clamp(min=1e-9)  # none, where one draw has fewer folds than another
        return (self.weights * each).sum(dim=1) / total + self.penalties * change.square().sum(dim=(1, 3))

    def _apart(
        self, change: Tensor, logits: np.ndarray, losses: list[Tensor], rate: float
    ) -> Iterator[tuple[int, _Trained]]:
        fits = self.weights.shape[2] // len(self.powers)
        for (place, parts), power in product(enumerate(self.parts), range(len(self.powers))):
            first = power * fits
            held = [logits[place, check, first + number] for number, (_, check) in enumerate(parts)]
            truth = [self.labels[place, check].cpu().numpy() for _, check in parts]
            before, after = (float(loss[place, first]) for loss in losses)
            yield (
                place,
                _Trained(
                    change[place, :, first].cpu().numpy().copy(),
                    rate,
                    float(self.penalties[place, first]),
                    np.concatenate(held),
                    np.concatenate(truth),
                    before,
                    after,
                    len(self.texts),
                ),
            )


def _fitted(best: _Trained, model: _Model) -> Fitted | Exception:
    if failure := best.failure():
        return failure
    chosen = {"lr": best.rate, "lambda": float(f"{best.penalty:.4g}")}
    if len(best.truth):
        chosen["temperature"] = temperature(best.held, best.truth)
    return _interpolated(best.change, 1.0, model, chosen)


def _interpolated(change: np.ndarray, alpha: float, model: _Model, chosen: dict[str, float]) -> Fitted:
    projection = model.start + np.float32(alpha) * change

    def logits(images: Images) -> np.ndarray:
        features = model.inputs(images) @ projection + model.bias
        result: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True) @ model.texts.T
        return result

    def classifier() -> ImageClassifier:
        return ImageClassifier(_with_projection(model.clip, torch.from_numpy(projection)), LinearHead(model.texts))

    # The temperature is that of the trained one's logits.
    rest = {name: value for name, value in chosen.items() if name != "temperature"}
    return Fitted(logits, classifier, chosen, averaged=lambda share: _interpolated(change, share, model, rest))


def _projection(clip: ClipModel) -> tuple[np.ndarray, np.ndarray]:
    """The image tower's last matrix (d, o) and bias (o,), float32. Raises UsageError where it has none."""
    tower = clip.model.visual
    frozen_trunk.cut(tower, 0)
    if isinstance(matrix := getattr(tower, "proj", None), Tensor):  # open_clip's ViT
        return matrix.detach().float().cpu().numpy(), np.zeros(matrix.shape[1], np.float32)
    head = dict(getattr(tower, "head", nn.Module()).named_children())  # of timm's models
    if isinstance(linear := head.pop("proj", None), nn.Linear) and head.keys() <= {"drop"}:
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float().cpu()
        return linear.weight.detach().float().cpu().T.contiguous().numpy(), bias.numpy()
    raise UsageError(
        f"proj trains the visual projection, and the image tower of {clip.name} ends without one; "
        "use linear-probe or finetune-last1 with this model"
    )


def _with_projection(clip: ClipModel, matrix: Tensor) -> nn.Module:
    """The image tower with another last matrix (d, o), sharing all other weights."""
    tower = low_rank.shared_copy(clip.model.visual)
    own = isinstance(getattr(tower, "proj", None), Tensor)
    value = nn.Parameter((matrix if own else matrix.T.contiguous()).to(clip.device), requires_grad=False)
    if own:
        tower.proj = value
    else:
        tower.head.proj.weight = value
    result: nn.Module = tower
    return result


def _parts(draw: Draw, number: int) -> Parts:
    """All of the draw, nothing held out, and then its folds."""
    everything = np.arange(len(draw.labels))
    return [(everything, everything[:0]), *folds(draw, number)]


def _chunks(draws: Sequence[Draw], model: _Model, trainings: int) -> Iterator[list[Draw]]:
    """Draws that are trained at once, in order."""
    inputs, outputs = model.start.shape
    images = max(len(draw.labels) for draw in draws)
    # The matrix, its gradient and two moments; of each image's features and their like about six.
    each = 4 * trainings * outputs * (4 * inputs + 6 * images)
    count = max(1, BYTES["cuda" if model.clip.device.type == "cuda" else "cpu"] // each)
    for start in range(0, len(draws), count):
        yield list(draws[start : start + count])
