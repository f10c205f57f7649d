"""LoRA for CLIP: low-rank adapters of rank 2 on q, k and v of every attention block (Zanella and Ben Ayed 2024).

CLIP-LoRA (arXiv 2405.18541) with its published settings (section 4 and the authors' code): both towers, scale
1 / sqrt(r), a quarter of the adapters' inputs dropped, AdamW with rate 2e-4 and weight decay 1e-2, a cosine, batches of
32, cross-entropy over the classes' texts at the model's own temperature. The adapters: fewshot.training.low_rank.

What differs. The authors take 500 steps times the number of images a class; the defaults take 500 in all, since of 20
images of each of 6 classes theirs see each picture 2,667 times, and a trial takes 10,000 steps (`per_shot` does that).
They crop and mirror the training images, which here `--augment` decides, and their cosine ends at 1e-6, ours at 0.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings
from curate.models.clip_models import ClipModel, encode
from fewshot.classifier import ImageClassifier, LinearHead
from fewshot.methods.tuning_options import DECAY, RATE, SCHEDULE
from fewshot.task import Draw, Fitted, Images, Task, fit_alone
from fewshot.training import low_rank
from fewshot.training.heads import TextHead
from fewshot.training.loop import Batch, Batches, Optimisation, Trainer, mixed_precision

# Trials in one step. On one core of a CPU a step of ViT-B/32 is arithmetic alone (4 s for 16 images, forward and back:
# the default 500 steps of 32 are more than an hour), and of tiny/random 17 ms, of which stacking saved a quarter: not
# worth the memory. On CUDA (not measured yet) a whole batch of trials, which is halved where memory runs out.
STACKED = {"cpu": 1, "cuda": 13}


@settings
class Lora:
    """The published settings, but for the number of steps: `iterations`, times the images a class with `per_shot`."""

    towers: Annotated[Literal["both", "image", "text"], option("Towers that are adapted.")] = "both"
    rank: Annotated[int, option("Rank of the adapters.", ge=1)] = 2
    alpha: Annotated[float, option("Scale of the adapters, which is divided by the root of the rank.", gt=0)] = 1.0
    dropout: Annotated[float, option("Share of the adapters' inputs that is dropped.", ge=0, lt=0.99)] = 0.25
    lr: Annotated[float, RATE] = 2e-4
    weight_decay: Annotated[float, DECAY] = 1e-2
    batch_size: Annotated[int, option("Number of images in a batch.", ge=1)] = 32
    schedule: Annotated[Literal["constant", "cosine"], SCHEDULE] = "cosine"
    iterations: Annotated[int, option("Number of steps, roughly.", ge=1)] = 500
    per_shot: Annotated[bool, option("As many steps for each image a class.")] = False

    def check(self, clip: ClipModel) -> None:
        """Raises UsageError for a model with a tower that is to be adapted and has no attention blocks."""
        names = low_rank.places(clip.model)
        towers = {
            "image": [name for name in names if name.startswith(low_rank.IMAGE)],
            "text": [name for name in names if not name.startswith(low_rank.IMAGE)],
        }
        for tower, inside in towers.items():
            if self.towers in ("both", tower) and not inside:
                raise UsageError(
                    f"lora adapts attention blocks, and the {tower} tower of {clip.name} has none that it knows; "
                    "use finetune or finetune-last1 with this model, or a ViT of open_clip's, such as ViT-B-32/openai"
                )

    def fit(self, draw: Draw, task: Task) -> Fitted:
        """Raises Diverged."""
        return fit_alone(self, draw, task)

    def batching_is_faster(self, device: str) -> bool:
        return device == "cuda"  # see STACKED

    def fit_batch(self, draws: Sequence[Draw], tasks: Sequence[Task]) -> list[Fitted | Exception]:
        """Of one model and one wording of the classes; those of one number of steps together."""
        self.check(tasks[0].clip)
        settings = [self._settings(draw) for draw in draws]
        alike: dict[Optimisation, list[int]] = defaultdict(list)
        for place, each in enumerate(settings):
            alike[each].append(place)
        count = STACKED["cuda" if tasks[0].clip.device.type == "cuda" else "cpu"]
        fitted: dict[int, Fitted | Exception] = {}
        for optimisation, places in alike.items():
            for start in range(0, len(places), count):
                few = places[start : start + count]
                trained = self._fit([draws[i] for i in few], [tasks[i] for i in few], optimisation)
                fitted |= zip(few, trained, strict=True)
        return [fitted[place] for place in range(len(draws))]

    def _settings(self, draw: Draw | None = None) -> Optimisation:
        """With as many epochs as give about the number of steps that is asked for."""
        epochs = 1
        if draw is not None:
            images = len(draw.labels)
            shots = images / len(np.unique(draw.labels))
            steps = self.iterations * (shots if self.per_shot else 1)
            epochs = max(1, round(steps / max(1, round(images / self.batch_size))))
        return Optimisation(self.lr, self.weight_decay, epochs, self.batch_size, self.schedule)

    def _fit(self, draws: Sequence[Draw], tasks: Sequence[Task], settings: Optimisation) -> list[Fitted | Exception]:
        task = tasks[0]
        names = [name for name in low_rank.places(task.clip.model) if self._adapts(name)]
        adapters = low_rank.Adapters(
            task.clip.model,
            names,
            [each.seed for each in tasks],
            rank=self.rank,
            scale=self.alpha / math.sqrt(self.rank),
            dropout=self.dropout,
        )
        batches = [Batches(draw, each, settings) for draw, each in zip(draws, tasks, strict=True)]
        trainer = Trainer(_loss(adapters, task, self.towers), adapters.parameters(), settings)
        outcomes = trainer.train(batches, len(task.classes))
        return [
            outcome or _fitted(task, adapters.factors(trial), self.towers, trainer.about_steps())
            for trial, outcome in enumerate(outcomes)
        ]

    def _adapts(self, name: str) -> bool:
        return self.towers == "both" or name.startswith(low_rank.IMAGE) == (self.towers == "image")


def _loss(adapters: low_rank.Adapters, task: Task, towers: str) -> Callable[[list[Batch]], Tensor]:
    """One batch a trial -> (T,): each trial's mean cross-entropy, by its own adapters."""
    trials, model = len(adapters), adapters.model
    frozen = towers == "image"
    # The text tower sees the prompts once for each trial, too.
    head = TextHead(model, task if frozen else replace(task, texts=task.texts * trials), frozen=frozen)

    def loss(batches: list[Batch]) -> Tensor:
        adapters.dropout.advance()
        images, labels, weights = _side_by_side(batches)
        with mixed_precision(images.device):
            with torch.set_grad_enabled(torch.is_grad_enabled() and towers != "text"):
                features = model.visual(images)
            vectors, _ = head.class_vectors()
        of_trials = F.normalize(features.float(), dim=1).unflatten(0, (trials, -1))
        logits = of_trials @ vectors.float().unflatten(0, (-1, len(task.classes))).mT
        each = F.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
        return (each * weights).view(trials, -1).sum(dim=1)

    return loss


def _side_by_side(batches: list[Batch]) -> Batch:
    """The trials' images behind one another, as many of each: a smaller batch is filled up with images of weight 0.

    The weights are divided by the number of images, so that the loss's sum over a trial is its mean.
    """
    longest = max(len(each.labels) for each in batches)
    padded = []
    for images, labels, weights in batches:
        lacking = longest - len(labels)
        parts = images, labels, weights / len(labels)
        padded.append([torch.cat([part, part[:1].expand(lacking, *part.shape[1:])]) for part in parts])
        padded[-1][2][len(labels) :] = 0
    return Batch(*(torch.cat(parts) for parts in zip(*padded, strict=True)))


def _fitted(
    task: Task, factors: dict[str, low_rank.Factors], towers: str, about: dict[str, str], alpha: float = 1.0
) -> Fitted:
    """The model with alpha times the adapters merged into its weights; they are merged when it is used."""
    clip = task.clip

    def _vectors(model: Any) -> Tensor:
        return TextHead(model, task, frozen=True).class_vectors()[0].float().cpu()

    def logits(images: Images) -> np.ndarray:
        with torch.inference_mode():
            result: np.ndarray = _features(images) @ _vectors(low_rank.merged(clip.model, factors, alpha)).numpy().T
            return result

    @torch.no_grad()
    def classifier() -> ImageClassifier:
        model = low_rank.merged(clip.model, factors, alpha)
        return ImageClassifier(model.visual, LinearHead(_vectors(model)))

    def _features(images: Images) -> np.ndarray:
        if towers == "text":
            return images.features()
        inside = {
            name.removeprefix(low_rank.IMAGE): each for name, each in factors.items() if name.startswith(low_rank.IMAGE)
        }
        features = encode(low_rank.merged(clip.frozen_encoder(), inside, alpha), clip.normalise, images.pixels())
        result: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
        return result

    return Fitted(logits, classifier, about, averaged=lambda share: _fitted(task, factors, towers, about, share))
