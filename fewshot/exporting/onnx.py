"""From a Graph to an ONNX file, and the file's output compared with torch's."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.foundation import atomic
from curate.foundation.errors import FewposeError
from curate.foundation.quiet import quiet
from fewshot.exporting import library
from fewshot.exporting.alone import PIXELS, PROBABILITIES
from fewshot.exporting.graph import Graph

INPUT, OUTPUT = PIXELS, PROBABILITIES
MOST_DIFFERENCE = 1e-4  # of a probability, between torch and onnxruntime, both in fp32
PARITY_BATCHES = (1, 3)
_MOST_BYTES = 2**31 - 2**24  # protobuf's limit on one file, and room for what is not weights


def convert(graph: Graph, path: Path, properties: Mapping[str, str]) -> None:
    """Write `graph` to `path`, one file with its weights and `properties` as its metadata; any batch size goes in.

    Raises FewposeError where the extra is missing, the weights are too large for one file, or torch can't express
    the tower in ONNX.
    """
    onnx = library.onnx()
    library.onnxscript()
    if sum(each.numel() for each in graph.state_dict().values()) * 4 > _MOST_BYTES:
        raise FewposeError("a model of more than 2 GB doesn't fit in an ONNX file; train a smaller one to export it")
    example = torch.zeros(2, graph.size, graph.size, 3, dtype=torch.uint8)  # of batch 1, torch makes a constant
    try:
        with quiet():
            program: Any = torch.onnx.export(
                graph,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise FewposeError(f"torch {torch.__version__} can't write this model as ONNX: {reason}") from error
    model = program.model_proto
    onnx.helper.set_model_props(model, dict(properties))
    path.write_bytes(model.SerializeToString())


def write(graph: Graph, path: Path, properties: Mapping[str, str]) -> float:
    """Write `graph` as a whole file, or none. Returns the largest difference from torch (see `difference`).

    Raises FewposeError as `convert`, and where onnxruntime's probabilities differ from torch's by MOST_DIFFERENCE.
    """
    with atomic.replacing(path) as temporary:
        convert(graph, temporary, properties)
        found = difference(graph, temporary)
        if not found <= MOST_DIFFERENCE:  # nan, too
            raise FewposeError(
                f"{path} is not written: in onnxruntime, probabilities differ from torch's by up to {found:.2g}, "
                f"and {MOST_DIFFERENCE:g} is allowed; another version of torch or onnxruntime may do better"
            )
    return found


def difference(graph: Graph, path: Path) -> float:
    """The largest difference of a probability between torch and onnxruntime, on drawn pixels in PARITY_BATCHES."""
    running = library.session(path)
    largest = 0.0
    for batch in PARITY_BATCHES:
        pixels = drawn(batch, graph.size)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(pixels)).numpy()
        output = probabilities(running, pixels)
        if output.shape != expected.shape:
            return math.inf
        largest = max(largest, float(np.abs(output - expected).max()))  # max(x, nan) would be x
        if not np.isfinite(output).all():
            return math.nan
    return largest


def drawn(count: int, size: int) -> np.ndarray:
    """(count, size, size, 3) uint8: patches of random colours, from large ones to single pixels; always the same."""
    random = np.random.default_rng([count, size])
    pixels = np.empty((count, size, size, 3), np.uint8)
    for place in range(count):
        edge = max(1, size >> (place % 8 + 1))
        cells = -(-size // edge)
        patches = random.integers(0, 256, (cells, cells, 3), np.uint8)
        pixels[place] = patches.repeat(edge, 0).repeat(edge, 1)[:size, :size]
    return pixels


def probabilities(running: Any, pixels: np.ndarray) -> np.ndarray:
    """(n, size, size, 3) uint8 -> (n, classes) float32."""
    return np.asarray(running.run([OUTPUT], {INPUT: pixels})[0])
