"""int8 in the way that suits the tower, with a head that stays in fp32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot.export import int8, library, onnx
from fewshot.export.exporting import graph_of
from fewshot.trained.model import TrainedModel

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")


@pytest.mark.parametrize(("tower", "method"), [("tiny/random", int8.DYNAMIC), ("lite0/random", int8.STATIC)])
def test_it_is_smaller_and_says_nearly_the_same(
    trained: Callable[..., TrainedModel], shown: Callable, tmp_path: Path, tower: str, method: str
) -> None:
    model = trained(tower)
    fp32, small = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    onnx.write(graph_of(model), fp32, {"classes": "[]", "precision": "fp32"})
    pixels = shown(model)
    int8.quantise(fp32, small, pixels)
    assert int8.method(fp32) == method
    assert small.stat().st_size < 0.7 * fp32.stat().st_size
    running = onnx.session(small, 1)
    assert running.get_modelmeta().custom_metadata_map == {"classes": "[]", "precision": "int8"}
    said, expected = onnx.probabilities(running, pixels), model.probabilities(pixels)
    assert said.shape == expected.shape
    assert 0 < np.abs(said - expected).max() < 0.3
    assert heads_weights(small).dtype == np.float32
    np.testing.assert_array_equal(heads_weights(small), model.head.weights.numpy().T)


def heads_weights(file: Path) -> np.ndarray:
    """What the last product of matrices multiplies with."""
    model = library.onnx().load(file)
    arrays = {each.name: library.onnx().numpy_helper.to_array(each) for each in model.graph.initializer}
    products: list[Any] = [node for node in model.graph.node if node.op_type == "MatMul"]
    return arrays[products[-1].input[1]]
