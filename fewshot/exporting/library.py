"""The one place that imports onnx, onnxruntime and onnxscript, an optional extra, and only when a file needs them."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from curate.foundation.errors import FewposeError
from curate.foundation.quiet import quiet


def onnx() -> ModuleType:
    """The file format. Raises FewposeError, as all of these, where the extra is not installed."""
    return _module("onnx")


def onnxruntime() -> ModuleType:
    """What runs the files."""
    return _module("onnxruntime")


def quantization() -> ModuleType:
    """onnxruntime's tools that make int8 of fp32."""
    return _module("onnxruntime.quantization")


def onnxscript() -> ModuleType:
    """What torch.onnx.export writes its graphs with."""
    return _module("onnxscript")


def session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime session of a file, on the CPU, with so many threads (or onnxruntime's own choice)."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads:
        options.intra_op_num_threads = threads
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _module(name: str) -> ModuleType:
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError as error:
        raise FewposeError(
            f"ONNX files need packages that are missing here ({error.name}): pip install 'fewpose[export]'"
        ) from error
