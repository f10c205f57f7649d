"""Fine-tuning CLIP as a classifier, after arXiv 2501.07221: cross-entropy over image-text logits.

The logits of an image are its cosines with *every class's* text, times the temperature, and the target is its label.
(CLIP's own contrastive loss pairs positions in the batch, which makes two images of one class each other's negatives.)

`start="probe"` is LP-FT (Kumar et al. 2022, arXiv 2202.10054): the class vectors start as the linear probe of the
frozen features in place of the texts, for models whose text tower knows nothing yet; only the image tower is trained.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import UsageError
from curate.models import ClipModel, encode, has_native_bf16
from fewshot.augment import augment
from fewshot.methods.linear_probe import LinearProbe
from fewshot.task import Diverged, Draw, Fitted, Images, Task

# A rise of the loss by less than this part of chance level's is no divergence: a model that starts near its best, as a
# probe does, may end a little above it.
NOISE = 0.05


@dataclass(frozen=True)
class Finetune:
    """The paper's recipe by default; `data/recipes.yaml` names others."""

    lr: float = 1e-5  # AdamW's; ten times it diverges with ViT-B/32 (arXiv 2501.07221)
    weight_decay: float = 1e-3
    epochs: int = 5
    batch_size: int = 0  # 0: the number of classes
    schedule: str = "constant"  # or "cosine": down to nothing over the run
    towers: str = "both"  # or "image": the texts stay as they are
    start: str = "text"  # or "probe"

    def __post_init__(self) -> None:
        choices = {"schedule": ("constant", "cosine"), "towers": ("both", "image"), "start": ("text", "probe")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"finetune: {name} must be {' or '.join(allowed)}, not {getattr(self, name)!r}")
        if (
            not 0 < self.lr < math.inf
            or self.epochs < 1
            or self.batch_size < 0
            or not 0 <= self.weight_decay < math.inf
        ):
            raise UsageError("finetune: lr and epochs must be positive, batch_size and weight_decay not negative")

    def fit(self, draw: Draw, task: Task) -> Fitted:
        clip = task.clip
        model = copy.deepcopy(clip.model).train().to(memory_format=torch.channels_last)
        _freeze_batch_norm(model)
        head = self._head(model, draw, task)
        random = torch.Generator().manual_seed(task.seed)
        self._train(model.visual, head, _Batches(draw, clip, self, random, task), len(task.classes))
        with torch.inference_mode():
            weights, bias = (value.float().cpu().numpy() for value in head.class_vectors())
        tower = model.visual.eval().to(torch.bfloat16 if clip.precision == "bf16" else torch.float32)

        def logits(images: Images) -> np.ndarray:
            with torch.inference_mode():
                features = encode(tower, clip, images.pixels())
            return features / np.linalg.norm(features, axis=1, keepdims=True) @ weights.T + bias

        return Fitted(logits)

    def _head(self, model: Any, draw: Draw, task: Task) -> "_Head":
        if self.start == "probe":
            probe = LinearProbe(powers=(1.0,)).fit(draw, task)
            return _ProbeHead(probe.weights["weights"], probe.weights["bias"]).to(task.clip.device)
        return _TextHead(model, task, frozen=self.towers == "image")

    def _train(self, visual: nn.Module, head: "_Head", batches: "_Batches", classes: int) -> None:
        parameters = [*visual.parameters(), *head.trained()]
        optimiser = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        steps = self.epochs * len(batches)
        decay: Callable[[int], float] = (
            (lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
            if self.schedule == "cosine"
            else (lambda step: 1.0)
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, decay)
        beginning = batches.random.get_state()
        before = _mean_loss(visual, head, batches)
        for _ in range(self.epochs):
            losses = []
            for images, labels in batches:
                loss = _loss(visual, head, images, labels)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
                losses.append(loss.detach())
            last = torch.stack(losses).mean().item()
            if not math.isfinite(last):
                raise Diverged(f"the loss is {last}; a smaller --lr than {self.lr:g} may do")
        batches.random.set_state(beginning)  # the same order and augmentation again: nothing differs but the model
        after = _mean_loss(visual, head, batches)
        if not after <= before + NOISE * math.log(classes):
            raise Diverged(f"the loss rose from {before:.2f} to {after:.2f}; a smaller --lr than {self.lr:g} may do")


class _Head(nn.Module, ABC):
    """From normalised image features to logits, by class vectors."""

    @abstractmethod
    def class_vectors(self) -> tuple[Tensor, Tensor]:
        """Weights (classes, d), with the temperature in their length, and bias (classes,)."""

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


class _TextHead(_Head):
    """The class vectors are the text tower's embeddings of the prompts, trained with it or frozen."""

    def __init__(self, model: Any, task: Task, *, frozen: bool) -> None:
        super().__init__()
        self.counts = [len(prompts) for prompts in task.texts]
        self.tokens = task.clip.tokenize([prompt for prompts in task.texts for prompt in prompts])
        self.frozen = frozen
        self.text = [parameter for name, parameter in model.named_parameters() if not name.startswith("visual.")]
        self.encode = model.encode_text
        self.logit_scale = model.logit_scale
        self.fixed = self._embed().detach() if frozen else None

    def trained(self) -> list[nn.Parameter]:
        return [] if self.frozen else self.text

    def _embed(self) -> Tensor:
        embedded = F.normalize(self.encode(self.tokens).float(), dim=1)
        means = [part.mean(dim=0) for part in embedded.split(self.counts)]
        return F.normalize(torch.stack(means), dim=1)

    def class_vectors(self) -> tuple[Tensor, Tensor]:
        weights = self._embed() if self.fixed is None else self.fixed
        # CLIP keeps its temperature from falling below 1/100.
        return weights * self.logit_scale.exp().clamp(max=100), weights.new_zeros(len(weights))


class _ProbeHead(_Head):
    """The class vectors are free, and start as a linear probe."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.weights, self.bias = nn.Parameter(torch.from_numpy(weights)), nn.Parameter(torch.from_numpy(bias))

    def class_vectors(self) -> tuple[Tensor, Tensor]:
        return self.weights, self.bias


class _Batches:
    """The draw in a new random order at each pass, augmented, without ever dropping its last images."""

    def __init__(self, draw: Draw, clip: ClipModel, settings: Finetune, random: torch.Generator, task: Task) -> None:
        self.clip = clip
        self.kind = task.augment
        self.random = random
        self.pixels = torch.from_numpy(draw.images.pixels()).to(clip.device)
        self.labels = torch.from_numpy(draw.labels).to(clip.device)
        # Parts of equal size: a last batch of one image would count as much as a whole one.
        self.count = max(1, round(len(self.labels) / (settings.batch_size or len(task.classes))))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels), generator=self.random).to(self.clip.device)
        for part in order.tensor_split(self.count):
            images = self.clip.normalise(self.pixels[part])
            yield augment(images, self.kind, self.random), self.labels[part]


def _loss(visual: nn.Module, head: _Head, images: Tensor, labels: Tensor) -> Tensor:
    # bf16 on CUDA only: on the CPU, oneDNN's backward of depthwise convolutions is twice as slow in bf16 as in fp32.
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda and has_native_bf16(images.device)):
        features = visual(images)
        weights, bias = head.class_vectors()
    logits = F.normalize(features.float(), dim=1) @ weights.float().T + bias.float()
    return F.cross_entropy(logits, labels)


@torch.no_grad()
def _mean_loss(visual: nn.Module, head: _Head, batches: _Batches) -> float:
    return torch.stack([_loss(visual, head, *batch) for batch in batches]).mean().item()


def _freeze_batch_norm(model: nn.Module) -> None:
    """Keep the running statistics: those of a few images are noise (in ViT there are none)."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
