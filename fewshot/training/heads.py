"""Classifiers on top of the image features: class vectors from the text tower, or free ones; and their loss."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewshot.task import Task


class Head(nn.Module, ABC):
    """From normalised image features to logits, by class vectors."""

    @abstractmethod
    def class_vectors(self) -> tuple[Tensor, Tensor]:
        """Weights (classes, d), with the temperature in their length, and bias (classes,)."""

    @abstractmethod
    def trained(self) -> list[nn.Parameter]:
        """What is trained of it."""


class TextHead(Head):
    """The class vectors are the text tower's embeddings of the prompts, trained with it, or `frozen`: computed once."""

    def __init__(self, model: Any, task: Task, *, frozen: bool) -> None:
        super().__init__()
        self.counts = [len(prompts) for prompts in task.texts]
        self.tokens = task.clip.tokenize([prompt for prompts in task.texts for prompt in prompts])
        self.encode = _TextTower(model, self.tokens)
        self.logit_scale = model.logit_scale
        self.text = [] if frozen else text_parameters(model)
        self.fixed: Tensor | None = None
        if frozen:
            with torch.no_grad():
                self.fixed = self._scaled()

    def trained(self) -> list[nn.Parameter]:
        return self.text

    def class_vectors(self) -> tuple[Tensor, Tensor]:
        weights = self._scaled() if self.fixed is None else self.fixed
        return weights, weights.new_zeros(len(weights))

    def _scaled(self) -> Tensor:
        # CLIP keeps its temperature from falling below 1/100.
        result: Tensor = self._embed() * self.logit_scale.exp().clamp(max=100)
        return result

    def _embed(self) -> Tensor:
        embedded = F.normalize(self.encode().float(), dim=1)
        means = [part.mean(dim=0) for part in embedded.split(self.counts)]
        return F.normalize(torch.stack(means), dim=1)


class FreeHead(Head):
    """The class vectors are trained themselves; `set` gives their start: a linear probe, or those of the texts."""

    def __init__(self, classes: int, width: int, device: torch.device) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(classes, width, device=device))
        self.bias = nn.Parameter(torch.zeros(classes, device=device))

    @torch.no_grad()
    def set(self, weights: np.ndarray | Tensor, bias: np.ndarray | Tensor) -> None:
        """(classes, d) and (classes,)."""
        self.weights.copy_(torch.as_tensor(weights))
        self.bias.copy_(torch.as_tensor(bias))

    def trained(self) -> list[nn.Parameter]:
        return [self.weights, self.bias]

    def class_vectors(self) -> tuple[Tensor, Tensor]:
        return self.weights, self.bias


def loss(features: Tensor, vectors: tuple[Tensor, Tensor], labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy over every class's logit, () fp32: the mean of weights * loss over the images.

    (n, d) features of any length; (classes, d) and (classes,) class vectors; (n,) labels and weights of the images.
    """
    matrix, bias = vectors
    logits = F.normalize(features.float(), dim=1) @ matrix.float().T + bias.float()
    return (F.cross_entropy(logits, labels, reduction="none") * weights).mean()


def text_parameters(model: Any) -> list[nn.Parameter]:
    """All parameters but the image tower's: the text tower's, and the temperature."""
    return [parameter for name, parameter in model.named_parameters() if not name.startswith("visual.")]


class _TextTower:
    """The text tower for the same texts again and again, its context cut to the longest of them.

    Under a causal mask a token attends to none behind it, and open_clip reads a text's embedding at its end: what comes
    after is padding, which changes nothing. With another mask or another way of pooling the texts keep their length.
    """

    def __init__(self, model: Any, tokens: Tensor) -> None:
        self.model = model
        self.tokens = tokens
        text = _text_part(model)
        self.tower = text if text is not None and _reads_at_the_end(text) else None
        self.ends = tokens.argmax(dim=1)  # the end of text is the highest number that there is
        self.rows = torch.arange(len(tokens), device=tokens.device)
        self.length = int(self.ends.max()) + 1

    def __call__(self) -> Tensor:
        """(texts, d)."""
        tower = self.tower
        if tower is None:
            outcome: Tensor = self.model.encode_text(self.tokens)
            return outcome
        kind = tower.transformer.get_cast_dtype()
        x = tower.token_embedding(self.tokens[:, : self.length]).to(kind)
        x = x + tower.positional_embedding[: self.length].to(kind)
        x = tower.transformer(x, attn_mask=tower.attn_mask[: self.length, : self.length])
        x = tower.ln_final(x)[self.rows, self.ends]
        projection = tower.text_projection
        if projection is None:
            answer: Tensor = x
            return answer
        result: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return result


def _text_part(model: Any) -> Any:
    """The module that has open_clip's own text transformer in it, or None."""
    if type(model) is open_clip.model.CLIP:
        return model
    text = getattr(model, "text", None)
    return text if type(text) is open_clip.transformer.TextTransformer else None


def _reads_at_the_end(text: Any) -> bool:
    pool = getattr(text, "text_pool_type", None) or getattr(text, "pool_type", None)
    if pool != "argmax" or getattr(text, "cls_emb", None) is not None or text.attn_mask is None:
        return False
    causal = torch.full_like(text.attn_mask, -torch.inf).triu(1)
    return bool(torch.equal(text.attn_mask, causal))
