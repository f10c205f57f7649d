"""A captured model says what the model says. On a CPU, only what would be captured can be run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot.bench import cuda_graph, latency
from fewshot.bench.cuda_graph import CapturedByBatchSize
from fewshot.classifier import ImageClassifier
from fewshot.exporting.onnx import drawn
from fewshot.trained import directory
from fewshot.trained.model import TrainedModel


@pytest.mark.parametrize("head", ["linear", "power", "cache"])
def test_what_is_captured_says_what_the_model_says(trained: Callable[..., TrainedModel], head: str) -> None:
    model, pixels = trained(head=head), drawn(4, 64)
    with torch.inference_mode():
        said = cuda_graph.probabilities(model, model.tower, torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(said, model.probabilities(pixels), atol=1e-5)


def test_a_graph_that_says_something_else_is_found_out(trained: Callable[..., TrainedModel]) -> None:
    model = trained()
    first: list[np.ndarray] = []

    def stale(pixels: np.ndarray) -> np.ndarray:
        """A replay that never saw new pixels."""
        first.append(model.probabilities(pixels))
        return first[0]

    assert cuda_graph.has_the_same_output(model.probabilities, model)
    assert cuda_graph.has_the_same_output(lambda pixels: model.probabilities(pixels) + 5e-5, model)
    assert not cuda_graph.has_the_same_output(stale, model)
    assert not cuda_graph.has_the_same_output(lambda pixels: model.probabilities(pixels) * np.nan, model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_captured_graph_says_it_too(trained: Callable[..., TrainedModel], tmp_path: Path) -> None:
    made = trained()
    directory.save(tmp_path / "model", made.about, ImageClassifier(made.tower, made.head))
    model = directory.load(tmp_path / "model", "cuda")
    pixels = drawn(5, 64)
    captured = CapturedByBatchSize(model)
    for batch in (1, 5, 1):
        np.testing.assert_allclose(captured(pixels[:batch]), model.probabilities(pixels[:batch]), atol=0.01)
    shares = [each.limit_share for each in latency.bench(model, batches=(8,), seconds=0.1).timings]
    assert any(share and 0 < share < 1 for share in shares)
