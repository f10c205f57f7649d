"""The pixels of a sweep's images where the model is: on a GPU that has room for them, all, as uint8."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from curate.images.pixels import PixelCache

Take = Callable[[Iterable[str]], np.ndarray | Tensor]

SHARE = 0.5  # of the GPU's free memory, at most


def pixels_for(device: torch.device, cache: PixelCache, ids: Iterable[str]) -> Take:
    """What gives the pixels of `ids`: the cache's arrays, or of a GPU with room for all of them tensors there.

    (19,127 images of 224 px are 2.9 GB.) The GPU's half has never run on a card.
    """
    if device.type != "cuda":
        return cache.take
    unique = tuple(dict.fromkeys(ids))
    size = cache.transform.size
    if not unique or len(unique) * size * size * 3 > SHARE * torch.cuda.mem_get_info(device)[0]:
        return cache.take
    return Resident(device, cache, unique).take


class Resident:
    """All pixels in one tensor on `device`."""

    def __init__(self, device: torch.device, cache: PixelCache, ids: tuple[str, ...]) -> None:
        size = cache.transform.size
        self.rows = {image: row for row, image in enumerate(ids)}
        self.pixels = torch.empty(len(ids), size, size, 3, dtype=torch.uint8, device=device)
        for start in range(0, len(ids), 512):
            part = torch.from_numpy(cache.take(ids[start : start + 512]))
            self.pixels[start : start + len(part)].copy_(part)

    def take(self, ids: Iterable[str]) -> Tensor:
        """(n, size, size, 3) uint8 on the device, in the order of `ids`."""
        rows = np.array([self.rows[image] for image in ids], dtype=np.int64)
        return self.pixels[torch.from_numpy(rows).to(self.pixels.device)]
