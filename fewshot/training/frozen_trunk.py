"""An image tower in two parts: the frozen trunk, whose results are computed once, and the last blocks behind it.

A block is one of a vision transformer's, one of the inverted residuals of timm's EfficientNets (of lite0's 16), a stage
of timm's ConvNeXts. What stands behind the blocks (norms, conv_head, pooling, projection) goes with the last one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor, nn

from curate.foundation.errors import UsageError
from curate.models.clip_models import ClipModel
from fewshot.task import Images


@dataclass(frozen=True)
class Cut:
    """`after(before(images))` is the whole tower's result; `parameters` are those of `after`."""

    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]
    parameters: list[nn.Parameter]


def cut(tower: nn.Module, blocks: int) -> Cut:
    """`tower` (open_clip's `visual`) cut before its last `blocks` blocks; 0: before its projection.

    Raises UsageError where it has fewer, or is of a kind that isn't known here.
    """
    parts = _parts(tower)
    if blocks > len(parts.blocks):
        raise UsageError(f"finetune-last{blocks}: the image tower has {len(parts.blocks)} blocks; take as many at most")
    first = len(parts.blocks) - blocks
    steps: list[Callable[[Tensor], Tensor]] = [parts.stem, *parts.blocks, parts.tail, parts.projection]
    place = 1 + first if blocks else len(steps) - 1
    frozen = {id(each) for block in parts.blocks[:first] for each in block.parameters()}
    names = (*parts.stem_names, *(() if blocks else parts.tail_names))
    behind = [
        parameter
        for name, parameter in tower.named_parameters()
        if id(parameter) not in frozen and not name.startswith(names)
    ]
    return Cut(_composed(steps[:place]), _composed(steps[place:]), behind)


@torch.no_grad()
def run(clip: ClipModel, blocks: int, images: Tensor) -> Tensor:
    """Normalised images -> what goes into the last `blocks` blocks of the frozen tower, in its precision."""
    tower = clip.frozen_encoder()
    return cut(tower, blocks).before(images.to(next(tower.parameters()).dtype))


def activations(images: Images, clip: ClipModel, blocks: int, *, mirrored: bool = False) -> Tensor:
    """What goes into the last `blocks` blocks for each image, (n, ...) in the frozen tower's precision.

    From the sweep's cache, or computed here. `mirrored`: of the mirrored images. On the CPU, or where the cache is.
    """
    kept = images.activations(blocks, mirrored=mirrored)
    return compute(clip, blocks, images.pixels(), mirrored=mirrored) if kept is None else kept


def compute(clip: ClipModel, blocks: int, pixels: np.ndarray | Tensor, *, mirrored: bool = False) -> Tensor:
    """As `activations`, of (n, size, size, 3) uint8 pixels, on the CPU."""
    batch = 256 if clip.device.type == "cuda" else 16  # as curate.models.clip_models.encode
    parts = []
    for part in torch.as_tensor(pixels).split(batch):
        images = clip.normalise(part)
        parts.append(run(clip, blocks, images.flip(3) if mirrored else images).cpu())
    return torch.cat(parts)


@dataclass(frozen=True)
class _Parts:
    """A tower as a chain: stem, blocks, tail, projection. `*_names`: what the names of their parameters begin with."""

    stem: Callable[[Tensor], Tensor]
    blocks: Sequence[nn.Module]
    tail: Callable[[Tensor], Tensor]
    projection: Callable[[Tensor], Tensor]
    stem_names: tuple[str, ...]
    tail_names: tuple[str, ...]


def _parts(tower: Any) -> _Parts:
    if type(tower) is open_clip.transformer.VisionTransformer and tower.transformer.batch_first:
        return _Parts(
            stem=tower._embeds,
            blocks=list(tower.transformer.resblocks),
            tail=lambda x: tower._pool(x)[0],
            projection=lambda x: x if tower.proj is None else x @ tower.proj,
            stem_names=("conv1.", "class_embedding", "positional_embedding", "ln_pre."),
            tail_names=("ln_post.", "attn_pool"),
        )
    trunk: Any = getattr(tower, "trunk", tower)
    kind = type(trunk).__name__
    if trunk is tower or kind not in _TRUNKS:
        raise UsageError(
            f"the blocks of this model's image tower ({kind}) can't be "
            "told apart: finetune-last and proj know open_clip's vision transformers and timm's "
            f"{', '.join(_TRUNKS)}; take finetune"
        )
    stem, blocks, tail, names, last = _TRUNKS[kind]
    return _Parts(
        stem=_composed([getattr(trunk, name) for name in stem]),
        blocks=list(blocks(trunk)),
        tail=_composed([*(getattr(trunk, name) for name in tail), trunk.forward_head]),
        projection=tower.head,
        stem_names=tuple(f"trunk.{name}" for name in names),
        tail_names=tuple(f"trunk.{name}" for name in last),
    )


def _flat(trunk: Any) -> Iterable[nn.Module]:
    return (block for stage in trunk.blocks for block in stage)


# By the trunk's class: what runs before its blocks, the blocks, what runs behind them before forward_head, and how the
# names of the parameters of the first and of the last begin.
_TRUNKS: dict[str, tuple[Any, ...]] = {
    "EfficientNet": (
        ("conv_stem", "bn1"),
        _flat,
        ("conv_head", "bn2"),
        ("conv_stem.", "bn1."),
        ("conv_head.", "bn2.", "classifier."),
    ),
    "VisionTransformer": (
        ("patch_embed", "_pos_embed", "patch_drop", "norm_pre"),
        lambda trunk: trunk.blocks,
        ("norm",),
        ("patch_embed.", "cls_token", "pos_embed", "reg_token", "norm_pre."),
        ("norm.", "attn_pool.", "fc_norm.", "head."),
    ),
    "ConvNeXt": (("stem",), lambda trunk: trunk.stages, ("norm_pre",), ("stem.",), ("norm_pre.", "head.")),
}


def _composed(steps: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    def run_all(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run_all
