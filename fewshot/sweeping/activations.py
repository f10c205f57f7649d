"""What goes into the last blocks of a frozen image tower, computed once for every image and kept in the collection."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.cache import RowCache, in_shards
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models import embeddings
from curate.models.clip_models import ClipModel
from fewshot.training import frozen_trunk


class ActivationCache:
    """Keyed as the embeddings are, by model, weights, precision, transform and content; and by blocks and mirroring."""

    def __init__(
        self, collection: Collection, clip: ClipModel, transform: Transform, blocks: int, *, mirrored: bool
    ) -> None:
        """Raises UsageError where the model doesn't have so many blocks."""
        frozen_trunk.cut(clip.frozen_encoder(), blocks)
        self.clip, self.blocks, self.mirrored = clip, blocks, mirrored
        name = f"{embeddings.key(clip, transform)}-last{blocks}{'-mirrored' if mirrored else ''}"
        self.rows = RowCache(collection.cache("activations", name))

    def fill(self, images: pd.DataFrame, pixels: PixelCache) -> None:
        """Compute what is missing for `images` (rows of the image table), whose pixels are there."""
        missing = self.rows.missing(images["id"])
        if not missing:
            return
        with console.progress(f"the frozen part of {self.clip.name}", len(missing)) as advance:
            for ids in in_shards(missing):
                computed = frozen_trunk.compute(self.clip, self.blocks, pixels.take(ids), mirrored=self.mirrored)
                self.rows.add(ids, _as_array(computed))
                advance(len(ids))

    def take(self, ids: Iterable[str]) -> Tensor:
        """(n, ...) in the frozen tower's precision, on the CPU. Raises KeyError for an image that was never filled."""
        taken = self.rows.take(ids)
        tensor = torch.from_numpy(taken)
        return tensor.view(torch.bfloat16) if taken.dtype == np.int16 else tensor


def _as_array(values: Tensor) -> np.ndarray:
    """numpy has no bf16: its bits, as int16."""
    contiguous = values.contiguous()
    return (contiguous.view(torch.int16) if values.dtype == torch.bfloat16 else contiguous).numpy()
