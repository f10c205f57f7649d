"""A trained model on CUDA as one graph of kernels, captured once and replayed.

Launched one by one, the many small kernels of a single image take longer to launch than to run. **Never run so far**:
there was no GPU where it was written. So its output is compared with the model's before it is timed.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from curate.models import clip_models
from fewshot.exporting.onnx import drawn
from fewshot.trained.model import TrainedModel

_WARM_CALLS = 3
_TOLERANCE = 0.1  # of the difference between pictures; bf16 rounds by less
_LEAST = 1e-4  # of a probability: what fp32 rounds is less


class CapturedModel:
    """A model captured for batches of one size. Pixels are copied through page-locked (pinned) memory."""

    def __init__(self, model: TrainedModel, batch: int) -> None:
        self.model = model
        self.tower: Any = clip_models.for_use(copy.deepcopy(model.tower), model.precision)
        size = model.about.transform.size
        self.host = torch.zeros((batch, size, size, 3), dtype=torch.uint8, pin_memory=True)
        self.pixels = self.host.to(model.device)
        side = torch.cuda.Stream(model.device)
        side.wait_stream(torch.cuda.current_stream(model.device))
        with torch.inference_mode(), torch.cuda.stream(side):  # what is made at first use is made before the capture
            for _ in range(_WARM_CALLS):
                probabilities(self.model, self.tower, self.pixels)
        torch.cuda.current_stream(model.device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.device(model.device), torch.cuda.graph(self.graph):
            self.output = probabilities(self.model, self.tower, self.pixels)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.host.copy_(torch.from_numpy(pixels))
        self.pixels.copy_(self.host, non_blocking=True)
        self.graph.replay()
        return self.output.cpu().numpy()


class CapturedByBatchSize:
    """A CapturedModel for each size of batch, made when it is first asked for."""

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.by_batch: dict[int, CapturedModel] = {}

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        if len(pixels) not in self.by_batch:
            self.by_batch[len(pixels)] = CapturedModel(self.model, len(pixels))
        return self.by_batch[len(pixels)](pixels)


def has_the_same_output(captured: Callable[[np.ndarray], np.ndarray], model: TrainedModel) -> bool:
    """Whether three very different pictures, one after the other, have the probabilities that the model gives them.

    A wrong capture repeats the probabilities of its first picture. So a difference is allowed that is a small part of
    how much the model's probabilities differ between the pictures.
    """
    noise = drawn(1, model.about.transform.size)
    pictures = [np.zeros_like(noise), np.full_like(noise, 255), noise]
    outputs = np.stack([captured(picture) for picture in pictures])
    expected = np.stack([model.probabilities(picture) for picture in pictures])
    return bool(np.abs(outputs - expected).max() <= max(_LEAST, _TOLERANCE * np.ptp(expected, axis=0).max()))


def probabilities(model: TrainedModel, tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """As `model.probabilities`, with every step between pixels and probabilities on the device."""
    values = model.normalise(pixels).to(next(tower.parameters()).dtype)
    return torch.softmax(model.head(tower(values)) / model.about.temperature, dim=1)
