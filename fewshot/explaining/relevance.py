"""How much each place of an image contributes to a class, by the kind of map that suits the image tower."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.foundation.errors import UsageError
from curate.models.normalisation import Normalisation
from fewshot.classifier import Head
from fewshot.explaining.attention import attention_relevance, tokens
from fewshot.explaining.convolution import KNOWN, elementwise_relevance, stage
from fewshot.explaining.score import Score, log_odds

AT_ONCE = 4  # images: the attention of a large vision transformer and its gradient take 1 GB an image


def relevance(
    tower: Any,
    head: Head,
    images: Tensor,
    targets: Tensor,
    of: Callable[[Head, Tensor], Score] = log_odds,
) -> Tensor:
    """How much each place contributes to its image's class in `targets` (n,): (n, rows, columns) on the CPU, 0 or more.

    `images` (n, 3, s, s) are normalised, on the device of `tower` (open_clip's `visual`, in evaluation mode), which
    stays as it is. A map's numbers are to be compared with each other, not with another map's. Raises UsageError for a
    tower of a kind that isn't known here.
    """
    parts = zip(images.split(AT_ONCE), targets.to(images.device).split(AT_ONCE), strict=True)
    return torch.cat([_map(tower, of(head, classes), part).cpu() for part, classes in parts])


def _map(tower: Any, score: Score, images: Tensor) -> Tensor:
    if known := tokens(tower):
        return attention_relevance(tower, known, score, images)
    if module := stage(tower):
        return elementwise_relevance(tower, module, score, images)
    kind = type(getattr(tower, "trunk", tower)).__name__
    raise UsageError(
        f"what this model's image tower ({kind}) looks at can't be shown: fewshot explain knows open_clip's and timm's "
        f"vision transformers, except those of CoCa, CLIP's ResNets, and timm's {', '.join(KNOWN)}"
    )


def heat(tower: Any, head: Head, normalise: Normalisation, pixels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """The maps of one image, (size, size, 3) uint8, for each of `classes`: (len(classes), size, size) float32."""
    image = normalise(torch.from_numpy(pixels[None].copy()))
    maps = relevance(tower, head, image.expand(len(classes), -1, -1, -1), torch.tensor(classes))
    return enlarged(maps, len(pixels)).numpy()


def enlarged(maps: Tensor, size: int) -> Tensor:
    """(n, rows, columns) -> (n, size, size), interpolated bilinearly."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
