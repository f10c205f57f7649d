"""The whole of a classifier in one module: stored pixels in, class probabilities out."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from curate.models.normalisation import Colour
from fewshot.classifier import Head


class Graph(nn.Module):
    """(n, size, size, 3) uint8 -> (n, classes) float32 probabilities, on the CPU and in fp32 throughout.

    Inside are the normalisation (the same operations in the same order as curate.models.normalisation), the image tower, the
    head and the division by `temperature`. It has its own copy of all weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: Any, head: Head, mean: Colour, std: Colour, temperature: float, size: int):
        super().__init__()
        self.tower = copy.deepcopy(tower).cpu().float().to(memory_format=torch.contiguous_format)
        self.head = copy.deepcopy(head).cpu()
        self.temperature = temperature
        self.size = size
        for name, colour in {"mean": mean, "std": std}.items():
            self.register_buffer(name, torch.tensor(colour).mul(255).view(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        values = pixels.permute(0, 3, 1, 2).float()
        # Without `contiguous`, the strides of the permuted pixels would enter the ONNX graph as gathers.
        features = self.tower(((values - self.mean) / self.std).contiguous())
        return torch.softmax(self.head(features) / self.temperature, dim=1)
