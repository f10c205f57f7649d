"""int8 in the way that suits the tower, with a head that stays in fp32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot.classifier import LinearHead
from fewshot.exporting import export, int8, library, onnx
from fewshot.exporting.samples import Samples
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")


@pytest.mark.parametrize(
    ("tower", "method", "calibrated"), [("tiny/random", int8.DYNAMIC, 0), ("lite0/random", int8.STATIC, 2)]
)
def test_it_is_smaller_says_nearly_the_same_and_tells_what_it_loses(
    trained: Callable[..., TrainedModel],
    shown: Callable[[TrainedModel], np.ndarray],
    tmp_path: Path,
    tower: str,
    method: str,
    calibrated: int,
) -> None:
    model = trained(tower)
    pixels, labels = shown(model), np.array([0, 0, 1, 1, 2, 0])  # the last one is wrong
    done = export.write(model, tmp_path / "yoga.onnx", Samples(pixels, labels))
    told = done.about["int8"]
    assert (told["method"], told["calibration_images"]) == (method, calibrated)
    assert told["bytes_int8"] == done.onnx.stat().st_size < 0.7 * told["bytes_fp32"]
    running = library.session(done.onnx)
    assert running.get_modelmeta().custom_metadata_map["precision"] == "int8"
    said, expected = onnx.probabilities(running, pixels[calibrated:]), model.probabilities(pixels[calibrated:])
    assert 0 < np.abs(said - expected).max() < 0.3
    assert told["loss"]["largest_change"] == pytest.approx(np.abs(said - expected).max(), abs=1e-4)
    right, right8 = (each.argmax(axis=1) == labels[calibrated:] for each in (expected, said))
    assert told["loss"]["accuracy_fp32"] == pytest.approx(right.mean())
    assert told["loss"]["accuracy_int8"] == pytest.approx(right8.mean())
    assert 0 < right.mean() < 1
    assert weights_of_the_head(done.onnx).dtype == np.float32
    assert isinstance(model.head, LinearHead)
    np.testing.assert_array_equal(weights_of_the_head(done.onnx), model.head.weights.numpy().T)


def weights_of_the_head(file: Path) -> np.ndarray:
    """What the last product of matrices multiplies with."""
    model = library.onnx().load(file)
    arrays = {each.name: library.onnx().numpy_helper.to_array(each) for each in model.graph.initializer}
    products: list[Any] = [node for node in model.graph.node if node.op_type == "MatMul"]
    result: np.ndarray = arrays[products[-1].input[1]]
    return result
