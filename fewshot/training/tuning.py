"""Training an image tower, or its last blocks, with a head on top of it; and predicting with the result."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from curate.models.clip_models import ClipModel, encode
from fewshot.classifier import ImageClassifier, LinearHead
from fewshot.task import Draw, Fitted, Images, Task
from fewshot.training import frozen_trunk, heads
from fewshot.training.heads import Head
from fewshot.training.loop import Batch, Batches, Loss, Optimisation, Trainer, mixed_precision
from fewshot.training.working_copies import WorkingCopy

INFERENCE_BATCH = 64  # activations of the frozen trunk that are classified at once


class Tuning:
    """A working copy whose image tower (`blocks` None), or the last `blocks` blocks of it, is trained with `head`.

    Kept from trial to trial, with the optimiser's state and the captured steps: `fit` begins anew each time.
    """

    def __init__(
        self, clip: ClipModel, copy: WorkingCopy, head: Head, settings: Optimisation, blocks: int | None = None
    ) -> None:
        self.clip, self.copy, self.head, self.settings, self.blocks = clip, copy, head, settings, blocks
        visual = copy.model.visual
        self._precision = partial(mixed_precision, clip.device, visual)
        self.forward: Callable[[Tensor], Tensor] = visual
        trained = list(visual.parameters())
        self.infer: Callable[[Tensor], Tensor] = copy.tower
        if blocks is not None:
            part = frozen_trunk.cut(visual, blocks)
            self.forward, trained = part.after, part.parameters
            self.infer = frozen_trunk.cut(copy.tower, blocks).after
        self.parameters = [*trained, *head.trained()]
        self.trainer = Trainer(self._loss, self.parameters, settings, evaluator=self._evaluator)

    def fit(self, draw: Draw, task: Task, begin: Callable[[], None]) -> Fitted:
        """Train on a draw; `begin` sets the head's starting values, after the model's. Raises Diverged."""
        self.copy.restore()
        begin()
        beginning = [each.detach().clone() for each in self.parameters]
        batches = Batches(draw, task, self.settings, blocks=self.blocks)
        (diverged,) = self.trainer.train([batches], len(task.classes))
        if diverged:
            raise diverged
        return self._fitted([each.detach().clone() for each in self.parameters], beginning, self.trainer.about_steps())

    def _fitted(self, values: list[Tensor], beginning: list[Tensor], about: dict[str, str]) -> Fitted:
        """With its own `values`: other trials use the working copy, into which they are put again for predicting."""

        def averaged(alpha: float) -> Fitted:
            # lerp is exact at both ends.
            mean = [torch.lerp(first, last, alpha) for first, last in zip(beginning, values, strict=True)]
            return self._fitted(mean, beginning, about)

        return Fitted(
            lambda images: self._logits(values, images), lambda: self._classifier(values), about, averaged=averaged
        )

    def _put_back(self, values: list[Tensor]) -> None:
        """Put trained `values` into the working copy, unless it holds them."""
        if self.copy.holds is not values:
            self.copy.restore()
            torch._foreach_copy_([each.detach() for each in self.parameters], values)
            self.copy.updated_tower()
            self.copy.holds = values

    @torch.no_grad()
    def _classifier(self, values: list[Tensor]) -> ImageClassifier:
        self._put_back(values)
        return ImageClassifier(self.copy.trained_tower(self.clip.model.visual), LinearHead(*self.head.class_vectors()))

    @torch.no_grad()
    def _logits(self, values: list[Tensor], images: Images) -> np.ndarray:
        self._put_back(values)
        weights, bias = (value.float().cpu().numpy() for value in self.head.class_vectors())
        features = self._features(images)
        result: np.ndarray = (features / np.linalg.norm(features, axis=1, keepdims=True) @ weights.T + bias).astype(
            np.float32
        )
        return result

    def _features(self, images: Images) -> np.ndarray:
        if self.blocks is None:
            return encode(self.copy.tower, self.clip.normalise, images.pixels())
        dtype = next(self.copy.tower.parameters()).dtype
        kept = frozen_trunk.activations(images, self.clip, self.blocks)
        parts = [self.infer(part.to(self.clip.device, dtype)).float().cpu() for part in kept.split(INFERENCE_BATCH)]
        return torch.cat(parts).numpy()

    def _loss(self, batches: list[Batch]) -> Tensor:
        ((images, labels, weights),) = batches
        with self._precision():
            features = self.forward(images)
            vectors = self.head.class_vectors()
        return heads.loss(features, vectors, labels, weights)[None]

    def _evaluator(self) -> Loss:
        """The loss in the precision of predicting, which is the frozen tower's and takes a third of the time."""
        self.copy.updated_tower()
        vectors = self.head.class_vectors()
        dtype = next(self.copy.tower.parameters()).dtype

        def loss(batches: list[Batch]) -> Tensor:
            ((images, labels, weights),) = batches
            return heads.loss(self.infer(images.to(dtype)), vectors, labels, weights)[None]

        return loss
