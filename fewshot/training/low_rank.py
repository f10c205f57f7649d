"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) of attention's q, k and v, for several trials at once.

A block computes x W' + s * (drop(x) A') B' for each of q, k and v: W is the model's own and stays, A (r, d) and
B (e, r) are trained. The trials share W. Their images are concatenated in the batch, and their adapters are stacked
as (T, ...) and applied by batched products, so that each trial's results are as they would be alone.

A few lines of ours rather than `peft`: open_clip's nn.MultiheadAttention has q, k and v in one `in_proj_weight`, which
peft doesn't adapt apart, and nothing there stacks trials.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from fewshot.training.explicit_attention import ExplicitAttention

IMAGE = "visual."  # what the names of the image tower's modules begin with, in open_clip's models
Factors = tuple[Tensor, Tensor]  # of one trial and place: s * B' (3, r, e) and A (3, r, d)
TEXT = ("transformer.", "text.")  # those of the text tower's; others, as CoCa's decoder, make no features


def places(model: nn.Module) -> list[str]:
    """The names of the modules of an open_clip model that make q, k and v: its own attention's, and timm's."""
    found = []
    for name, module in model.named_modules():
        if not name.startswith((IMAGE, *TEXT)):
            continue
        if isinstance(module, ResidualAttentionBlock) and not hasattr(module, "ln_1_kv"):
            found.append(f"{name}.attn")
        elif type(module).__module__.startswith("timm.") and type(module).__name__ == "Attention":
            found.append(f"{name}.qkv")
    return found


class Dropout:
    """Which inputs of the adapters are dropped, by a hash of the trial's seed, the step, the block and the place.

    No random generator is used, so that a trial's masks are the same alone, beside others and on any device, and that a
    captured CUDA graph goes on drawing new ones. `share` is rounded to 1/256. Nothing is dropped without autograd.
    """

    def __init__(self, share: float, seeds: Sequence[int], device: torch.device) -> None:
        self.dropped = round(256 * share)
        self.seeds = torch.tensor([_signed(seed) for seed in seeds], dtype=torch.int32, device=device)
        # A parameter without a gradient, so that it is restored with the others when a captured step is checked.
        self.step = nn.Parameter(torch.zeros((), device=device), requires_grad=False)

    def advance(self) -> None:
        """To the next step's masks."""
        if torch.is_grad_enabled():
            self.step.data += 1

    def __call__(self, inputs: Tensor, place: int) -> Tensor | None:
        """For inputs (T, n, d) factors (T, 3, n, d) of 0 and 1 / (1 - share), for q, k and v apart; or None: all 1."""
        if not self.dropped or not torch.is_grad_enabled():
            return None
        trials, rows, width = inputs.shape
        words = -(-width // 4)  # four bytes each
        index = torch.arange(3 * rows * words, dtype=torch.int32, device=inputs.device)
        # A row's numbers do not depend on how many rows there are: trials may have an image more or less.
        index = index.view(rows, 3, words).transpose(0, 1)
        keys = _mixed(_mixed(self.seeds + self.step.to(torch.int32)) + (place + 1) * 0x3C6EF372)
        hashed = _mixed(index + keys.view(trials, 1, 1, 1))
        kept = hashed.contiguous().view(torch.uint8)[..., :width] >= self.dropped
        return kept.to(inputs.dtype) * (256 / (256 - self.dropped))


def _mixed(values: Tensor) -> Tensor:
    """A 32-bit integer hash (C. Wellons' "lowbias32", 2018), int32 -> int32; products wrap around."""
    for shift, mask, factor in ((16, 0xFFFF, 0x7FEB352D), (15, 0x1FFFF, 0x846CA68B)):
        values = (values ^ ((values >> shift) & mask)) * _signed(factor)
    return values ^ ((values >> 16) & 0xFFFF)


def _signed(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


class Adapter(nn.Module):
    """The adapters of one place, of T trials: `down` (T, 3, r, d) is A of q, k and v; `up` (T, 3, r, e) is B'.

    A starts as torch's nn.Linear does, from each trial's own generator, and B at 0: so the model starts as it is.
    """

    def __init__(
        self, width: int, outputs: int, rank: int, scale: float, randoms: Sequence[torch.Generator], dropout: Dropout
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        drawn = [torch.empty(3, rank, width).uniform_(-bound, bound, generator=random) for random in randoms]
        self.down = nn.Parameter(torch.stack(drawn))
        self.up = nn.Parameter(torch.zeros(len(randoms), 3, rank, outputs))
        self.scale = scale
        self.dropout = dropout
        self.place = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """(T * images, ..., d) -> (T * images, ..., 3 * e), what is to be added to q, k and v."""
        trials, _, rank, width = self.down.shape
        rows = inputs.reshape(trials, -1, width)
        factors = self.dropout(rows, self.place)
        if factors is None:
            low = (rows @ self.down.flatten(1, 2).mT).unflatten(2, (3, rank)).transpose(1, 2)
        else:
            low = (rows.unsqueeze(1) * factors) @ self.down.mT  # (T, 3, n, r)
        high = self.scale * (low @ self.up)
        result: Tensor = high.transpose(1, 2).reshape(*inputs.shape[:-1], -1)
        return result

    def factors(self, trial: int) -> Factors:
        return (self.scale * self.up[trial]).detach().clone(), self.down[trial].detach().clone()


class AdaptedLinear(nn.Module):
    """A linear layer that makes q, k and v (timm's), and its adapter."""

    def __init__(self, base: nn.Linear, adapter: Adapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.base(inputs) + self.adapter(inputs)
        return result


class AdaptedAttention(ExplicitAttention):
    """Self-attention as nn.MultiheadAttention computes it, with an adapter beside its `in_proj_weight`."""

    def __init__(self, base: nn.MultiheadAttention, adapter: Adapter) -> None:
        super().__init__(base)
        self.adapter = adapter

    def qkv(self, inputs: Tensor) -> Tensor:
        result: Tensor = super().qkv(inputs) + self.adapter(inputs)
        return result


class Adapters:
    """The adapters of T trials in the places `names` of a model, which stays as it is.

    `seeds` are the trials' own. `model`: a copy that has the adapters in it and shares all other weights.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], seeds: Sequence[int], *, rank: int, scale: float, dropout: float
    ) -> None:
        device = next(model.parameters()).device
        randoms = [torch.Generator().manual_seed(seed ^ 0x10AA) for seed in seeds]  # seeds themselves order the batches
        self.dropout = Dropout(dropout, seeds, device)
        self.model = shared_copy(model)
        self.adapters: dict[str, Adapter] = {}
        for number, name in enumerate(names):
            base = self.model.get_submodule(name)
            attention = isinstance(base, nn.MultiheadAttention)
            outputs, width = (base.in_proj_weight if attention else base.weight).shape
            adapter = Adapter(width, outputs // 3, rank, scale, randoms, self.dropout).to(device)
            adapter.place = number
            self.adapters[name] = adapter
            replace(self.model, name, (AdaptedAttention if attention else AdaptedLinear)(base, adapter))

    def __len__(self) -> int:
        return len(self.dropout.seeds)

    def parameters(self) -> list[nn.Parameter]:
        """What is trained, and the count of steps, which optimisers leave alone."""
        return [*(each for adapter in self.adapters.values() for each in adapter.parameters()), self.dropout.step]

    def factors(self, trial: int) -> dict[str, Factors]:
        """A trial's adapters, by place, apart from the others'."""
        return {name: adapter.factors(trial) for name, adapter in self.adapters.items()}


def merged(model: nn.Module, factors: dict[str, Factors], alpha: float = 1.0) -> Any:
    """A copy of `model` with alpha * s * B A added to its weights, sharing all others: it costs no more to run.

    W + alpha * s * B A is exactly the weight at alpha between W and W + s * B A (arXiv 2109.01903).
    """
    result = shared_copy(model)
    for name, (up, down) in factors.items():
        base = result.get_submodule(name)
        weight = "in_proj_weight" if isinstance(base, nn.MultiheadAttention) else "weight"
        own = getattr(base, weight)
        value = (own.float() + alpha * (up.mT @ down).flatten(0, 1)).to(own.dtype)
        setattr(base, weight, nn.Parameter(value, requires_grad=False))
    return result


def shared_copy(model: nn.Module) -> Any:
    """A copy whose modules are its own and whose tensors are the model's, frozen."""
    return copy.deepcopy(model, memo=dict(_same(model)))


def _same(model: nn.Module) -> Iterator[tuple[int, Tensor]]:
    for parameter in model.parameters():
        yield id(parameter), nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in model.buffers():
        yield id(buffer), buffer


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one that is there."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
