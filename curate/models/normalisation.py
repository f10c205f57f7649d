"""From stored pixels to what an image tower takes, by the mean and deviation that its weights expect."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

Colour = tuple[float, float, float]  # red, green, blue, of values in [0, 1]


@dataclass
class Normalisation:
    mean: Colour
    std: Colour
    device: torch.device
    _scale: tuple[Tensor, ...] = field(init=False, default=(), repr=False)  # on the device

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, size, size, 3) uint8 on any device -> (n, 3, size, size) float32 on the model's, channels last."""
        values = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float()
        if not self._scale:  # once: on CUDA the transfer would be waited for
            colours = (self.mean, self.std)
            self._scale = tuple(torch.tensor(each, device=self.device).mul(255).view(3, 1, 1) for each in colours)
        mean, std = self._scale
        return (values - mean) / std
