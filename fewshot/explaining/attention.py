"""Attention-gradient relevance of vision transformers (Chefer, Gur and Wolf 2021, arXiv 2103.15679).

Of each block's attention A (heads, tokens, tokens) and the gradient A' of the score at it, A+ is the mean over heads
of the positive part of A' * A (their equation 5), and relevance spreads by R <- R + A+ R from R = 1 (equation 6). A
patch's relevance is its place in the row of the token that is pooled. We need that row alone, and so multiply it with
the blocks' A+ from the last to the first: the same numbers for one product of a vector with a matrix a block.

Of our own, because neither captum nor pytorch-grad-cam has it, and its authors' code is a copy of CLIP, not a package.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fewshot.explaining.score import Score
from fewshot.training.explicit_attention import ExplicitAttention
from fewshot.training.low_rank import replace, shared_copy


@dataclass(frozen=True)
class Tokens:
    """Of a transformer: how many `blocks` it has, its `grid` of patches (rows, columns), how many tokens stand `before`
    them, and how they are pooled: "token" (the first), "avg" (the patches' mean) or "map" (by attention).
    """

    blocks: int
    grid: tuple[int, int]
    before: int
    pool: str


def tokens(tower: Any) -> Tokens | None:
    """What is known of an image tower's tokens (open_clip's `visual`); None where it is no transformer known here."""
    if type(tower) is open_clip.transformer.VisionTransformer:
        blocks = tower.transformer.resblocks
        pool = {"tok": "token", "avg": "avg"}.get(tower.pool_type)
        plain = all(isinstance(getattr(block, "attn", None), nn.MultiheadAttention) for block in blocks)
        return Tokens(len(blocks), tower.grid_size, 1, pool) if pool and plain and tower.attn_pool is None else None
    trunk: Any = getattr(tower, "trunk", None)
    if type(trunk).__name__ not in ("VisionTransformer", "Eva") or trunk.global_pool not in ("token", "avg", "map"):
        return None
    return Tokens(len(trunk.blocks), trunk.patch_embed.grid_size, trunk.num_prefix_tokens, trunk.global_pool)


def attention_relevance(tower: Any, known: Tokens, score: Score, images: Tensor) -> Tensor:
    """Normalised images (n, 3, s, s) -> (n, rows, columns), how much each patch contributes to `score`, 0 or more."""
    layers = positive_attention(tower, score, images)
    if len(layers) != known.blocks + (known.pool == "map"):
        raise RuntimeError(f"{len(layers)} attentions were seen of a tower of {known.blocks} blocks")
    pooled = layers.pop().sum(1) if known.pool == "map" else _pooled(known, layers[-1])
    row = pooled
    for layer in reversed(layers):
        row = row + (row.unsqueeze(1) @ layer).squeeze(1)
    if known.pool == "avg":
        row = row - pooled  # the start R = 1, which is the same for every patch
    result: Tensor = row[:, known.before :].unflatten(1, known.grid)
    return result


def _pooled(known: Tokens, layer: Tensor) -> Tensor:
    """How the last block's tokens are weighed where they are pooled, (n, tokens)."""
    weights = layer.new_zeros(layer.shape[0], layer.shape[-1])
    if known.pool == "token":
        weights[:, 0] = 1
    else:
        weights[:, known.before :] = 1 / (weights.shape[1] - known.before)
    return weights


def positive_attention(tower: Any, score: Score, images: Tensor) -> list[Tensor]:
    """A+ (n, queries, keys) of every attention in a tower, from the first to the last."""
    explicit = copy_with_explicit_attention(tower)
    with torch.enable_grad(), AttentionRecorder() as recorder:
        total = score(explicit(images)).sum()  # each image's score depends on its own attention alone
        gradients = torch.autograd.grad(total, recorder.weights)
    return [
        (weights * gradient).clamp(min=0).mean(1).detach()
        for weights, gradient in zip(recorder.weights, gradients, strict=True)
    ]


def copy_with_explicit_attention(tower: Any) -> Any:
    """A copy that shares the tower's weights, whose attention all calls what AttentionRecorder replaces."""
    copied = shared_copy(tower)
    for name, module in list(copied.named_modules()):
        if isinstance(module, nn.MultiheadAttention):
            replace(copied, name, ExplicitAttention(module))
        elif hasattr(module, "fused_attn"):  # timm's
            module.fused_attn = True
    return copied


class AttentionRecorder(TorchFunctionMode):
    """While active, it replaces F.scaled_dot_product_attention by softmax(q k' / sqrt(d)) v, and keeps the softmax.

    `weights`: (n, heads, queries, keys) of every call so far, in the graph of the gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._attend(*args, **(kwargs or {}))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **others: Any) -> Tensor:
        scores = q @ k.mT * (others.get("scale") or q.shape[-1] ** -0.5)
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        weights = scores.softmax(dim=-1)
        if not weights.requires_grad:  # the first block's: neither images nor frozen weights have gradients
            weights.requires_grad_()
        self.weights.append(weights)
        result: Tensor = weights @ v
        return result
