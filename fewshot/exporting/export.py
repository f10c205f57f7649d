"""Writing a trained model as an ONNX file with a JSON beside it; in int8, with the measured quantisation error."""

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curate.foundation import atomic
from curate.foundation.errors import FewposeError, UsageError
from fewshot.exporting import description, int8, library, onnx, quantisation_error, samples
from fewshot.exporting.graph import Graph
from fewshot.exporting.names import json_path
from fewshot.exporting.samples import Samples
from fewshot.trained.model import TrainedModel

FEWEST = 30  # labelled images for int8
CALIBRATION = 128  # images at most; a third of what there is at most
_AT_ONCE = 16


class Exported(NamedTuple):
    """The ONNX file, the JSON beside it, and what that says."""

    onnx: Path
    json: Path
    about: dict[str, Any]


def export(model: TrainedModel, path: Path, images: Path | None = None) -> Exported:
    """Write `model` as `path` (.onnx) and a JSON of the same name; as int8 where `images` are given.

    images: a collection or a folder per class. Some of them set the ranges of int8, the others measure its error.

    Raises UsageError for a path that is no name of an ONNX file, and a model that looks at the body; FewposeError where
    the extra is missing, onnxruntime's output differs from torch's, or there are too few images.
    """
    json_path(path)
    if model.needs_joints:
        raise UsageError(
            "this model looks at the body, which takes more than an ONNX file: export it with --folder FOLDER, and "
            "without --int8"
        )
    tried = samples.read(images, model.classes, model.about.transform) if images else None
    if tried and len(tried) < FEWEST:
        raise FewposeError(
            f"{images} has {len(tried)} images that can be used, and int8 takes {FEWEST} at least: some to set its "
            "ranges by, the others to measure what it loses"
        )
    return write(model, path, tried)


def write(model: TrainedModel, path: Path, tried: Samples | None = None) -> Exported:
    """As `export`; as int8 if there are images to be `tried`: the first (CALIBRATION, or a third) set its ranges."""
    beside = json_path(path)
    graph = graph_of(model)
    properties = {
        "classes": json.dumps(model.classes, ensure_ascii=False),
        "threshold": repr(model.about.threshold),
        "fewpose": description.versions()["fewpose"],
        "precision": "fp32",
    }
    try:
        if tried:
            found = _int8(graph, path, properties, tried)
            # Accuracies on training images are too good, and the error may be too small.
            found["int8"]["of_its_training"] = model.about.trained_on.get("collection") == tried.source
        else:
            found = {"precision": "fp32", "parity": _parity(onnx.write(graph, path, properties))}
        about = _about(model, path) | found
        atomic.write_json(beside, about)
    except OSError as error:
        raise FewposeError(f"{path} can't be written ({error.strerror})") from error
    return Exported(path, beside, about)


def graph_of(model: TrainedModel) -> Graph:
    """The whole of a trained model as one module."""
    about = model.about
    return Graph(model.tower, model.head, about.mean, about.std, about.temperature, about.transform.size)


def _int8(graph: Graph, path: Path, properties: dict[str, str], tried: Samples) -> dict[str, Any]:
    """Write the int8 file. Returns the parity of the fp32 file that it was made of, and the quantisation error."""
    with tempfile.TemporaryDirectory() as folder, atomic.replacing(path) as temporary:
        fp32 = Path(folder, "fp32.onnx")
        parity = onnx.write(graph, fp32, properties)
        method = int8.method(fp32)
        calibration = min(CALIBRATION, len(tried) // 3) if method == int8.STATIC else 0
        int8.quantise(fp32, temporary, tried.pixels[:calibration])
        measured = tried.pixels[calibration:]
        outputs = [_probabilities(file, measured) for file in (fp32, temporary)]
        found = quantisation_error.compare(outputs[0], outputs[1], tried.labels[calibration:])
        sizes = {"bytes_fp32": fp32.stat().st_size, "bytes_int8": temporary.stat().st_size}
    how = {"method": method, "calibration_images": calibration, "left_out": tried.left_out}
    return {
        "precision": "int8",
        "parity": _parity(parity),
        "int8": how | sizes | {"loss": dataclasses.asdict(found)},
    }


def _probabilities(file: Path, pixels: np.ndarray) -> np.ndarray:
    running = library.session(file)
    parts = [pixels[start : start + _AT_ONCE] for start in range(0, len(pixels), _AT_ONCE)]
    return np.concatenate([onnx.probabilities(running, part) for part in parts])


def _parity(parity: float) -> dict[str, Any]:
    return {
        "of": "probabilities in fp32, onnxruntime against torch",
        "batches": list(onnx.PARITY_BATCHES),
        "largest_difference": parity,
        "allowed": onnx.MOST_DIFFERENCE,
    }


def _about(model: TrainedModel, path: Path) -> dict[str, Any]:
    """All that doesn't depend on the precision."""
    about, content = model.about, path.read_bytes()
    return {
        "format": description.FORMAT,
        "onnx": {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        "classes": list(about.classes),
        "threshold": about.threshold,
        "temperature": about.temperature,
        "mean": about.mean,
        "std": about.std,
        "model": {"of": about.model, "method": about.method, "weights_sha256": about.weights_sha256},
        "preprocessing": description.preprocessing(about.transform),
        "versions": description.versions(),
        **description.inputs_and_outputs(about.transform.size, len(about.classes)),
    }
