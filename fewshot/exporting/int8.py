"""From fp32 to int8, by onnxruntime's own tools, each kind of tower in the way that suits it.

static: convolutional towers. Weights (int8, per channel) and activations (uint8) with ranges that calibration images
    give; nodes in pairs of QuantizeLinear and DequantizeLinear, which onnxruntime fuses into integer kernels.
dynamic: towers of attention blocks. A few of their activations are very large, and one fixed range for all images
    would leave no precision for the others; so only the weights of matrix products are stored as int8, and the range of
    what they are multiplied with is found when it runs. It is found for a batch, so the result for an image depends a
    little on the others in its batch.

The head stays in fp32: it is small, and every class depends on it.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from curate.foundation.quiet import quiet
from fewshot.exporting import library
from fewshot.exporting.onnx import INPUT

STATIC, DYNAMIC = "static", "dynamic"
_AT_ONCE = 8  # calibration images: their activations are all kept


def method(source: Path) -> str:
    """STATIC for a file whose tower is made of convolutions, DYNAMIC for one of matrix products."""
    kinds = Counter(node.op_type for node in library.onnx().load(source, load_external_data=False).graph.node)
    return STATIC if kinds["Conv"] > kinds["MatMul"] + kinds["Gemm"] else DYNAMIC


def quantise(source: Path, target: Path, calibration: np.ndarray) -> None:
    """Write an int8 version of `source`. `calibration`: (n, size, size, 3) uint8 pixels, for STATIC alone."""
    tools, onnx = library.quantization(), library.onnx()
    model = onnx.load(source)
    properties = {each.key: each.value for each in model.metadata_props}
    excluded = [node.name for node in model.graph.node if not _of_the_tower(node)]
    del model
    with quiet():
        if method(source) == STATIC:
            tools.quantize_static(
                source,
                target,
                _Reader(calibration),
                op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "MaxPool", "AveragePool", "ReduceMean"],
                nodes_to_exclude=excluded,
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
            )
        else:
            tools.quantize_dynamic(
                source,
                target,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=excluded,
                per_channel=True,
                weight_type=tools.QuantType.QInt8,
            )
    model = onnx.load(target)
    onnx.helper.set_model_props(model, properties | {"precision": "int8"})
    onnx.save(model, target)


def _of_the_tower(node: Any) -> bool:
    """By the module that torch.onnx.export says a node comes from."""
    return any("'tower'" in each.value for each in node.metadata_props if each.key.endswith("name_scopes"))


class _Reader:
    """onnxruntime's CalibrationDataReader, which asks for a batch at a time."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._parts = iter([pixels[start : start + _AT_ONCE] for start in range(0, len(pixels), _AT_ONCE)])

    def __iter__(self) -> "_Reader":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        return {INPUT: next(self._parts)}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self, None)
