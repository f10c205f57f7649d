"""The graph says what the trained model says."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fewshot.classifier import ImageClassifier
from fewshot.exporting.export import graph_of
from fewshot.exporting.onnx import drawn
from fewshot.trained.model import TrainedModel


@pytest.mark.parametrize("head", ["linear", "power", "cache"])
def test_it_says_what_the_model_says(
    trained: Callable[..., TrainedModel], shown: Callable[[TrainedModel], np.ndarray], head: str
) -> None:
    model = trained(head=head)
    pixels = shown(model)
    said = graph_of(model)(torch.from_numpy(pixels)).numpy()
    assert said.dtype == np.float32
    np.testing.assert_allclose(said, model.probabilities(pixels), atol=1e-5)


def test_it_is_in_fp32_though_the_model_looks_in_bf16(
    trained: Callable[..., TrainedModel], shown: Callable[[TrainedModel], np.ndarray]
) -> None:
    model = trained()
    pixels = shown(model)
    expected = model.probabilities(pixels)
    rough = TrainedModel(model.about, ImageClassifier(model.tower, model.head), model.device)
    rough.precision = "bf16"
    assert np.abs(rough.probabilities(pixels) - expected).max() > 1e-4
    np.testing.assert_allclose(graph_of(rough)(torch.from_numpy(pixels)).numpy(), expected, atol=1e-5)


def test_it_owns_its_weights(trained: Callable[..., TrainedModel]) -> None:
    model, pixels = trained(), torch.from_numpy(drawn(2, 64))
    graph = graph_of(model)
    before = graph(pixels)
    with torch.no_grad():
        for each in [*model.tower.parameters(), *model.head.buffers()]:
            each.zero_()
    assert torch.equal(graph(pixels), before)
