"""A TensorFlow Lite model on the CPU, run by LiteRT, whose shapes were compared with those that are expected."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.quiet import quiet_stderr

_Shape = tuple[int, ...]
_STARTING = threading.Lock()  # of what is done to the whole process


class Model:
    """Arrays in, arrays out. Not to be shared between threads."""

    def __init__(
        self,
        content: bytes,
        source: str,
        threads: int,
        *,
        inputs: Sequence[_Shape],
        outputs: Sequence[_Shape],
        used: Sequence[int] | None = None,
    ) -> None:
        """inputs, outputs: their shapes.  used: which outputs are wanted, as positions in `outputs`; all unless said.
        What serves the others alone is not computed.

        Raises UsageError where `content` is another model, or damaged; FewposeError where LiteRT is not installed.
        """
        with _starting(source):
            interpreter = _interpreter(content, threads)
            given = interpreter.get_input_details()
            # By name: the order in which they are listed differs between bundles of one model.
            made = sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
        shapes = [tuple(int(length) for length in detail["shape"]) for detail in (*given, *made)]
        if shapes != [*inputs, *outputs]:
            raise UsageError(f"{source} holds another model than BlazePose's: its shapes are {shapes}")
        self._given = [detail["index"] for detail in given]
        self._made = [made[number]["index"] for number in (used if used is not None else range(len(made)))]
        with _starting(source):
            if used is not None:
                interpreter = _interpreter(reduced(content, tuple(self._made)), threads)
            interpreter.allocate_tensors()
        self._interpreter = interpreter

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The wanted outputs, the caller's own. arrays: float32, of the shapes of the inputs."""
        for index, array in zip(self._given, arrays, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._made]


def _interpreter(content: bytes, threads: int) -> Any:
    """LiteRT's, whose tensors have no memory yet. Raises FewposeError where LiteRT is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise FewposeError("finding poses needs LiteRT; pip install 'fewpose[pose]'") from error
    return Interpreter(model_content=content, num_threads=threads)


@contextmanager
def _starting(source: str) -> Iterator[None]:
    """Keeps LiteRT from saying which delegate it has. Raises UsageError where it cannot take the model."""
    with _STARTING, quiet_stderr():
        try:
            yield
        except (FewposeError, MemoryError):
            raise
        except Exception as error:  # LiteRT raises two kinds, the reader of its files nearly any
            raise UsageError(
                f"{source} holds a pose model that cannot be read ({_short(error)}); get it again"
            ) from error


@lru_cache(maxsize=1)  # each thread loads the same model
def reduced(content: bytes, outputs: tuple[int, ...]) -> bytes:
    """A model with these outputs alone (numbers of tensors, which stay), without the operators that only others need.

    LiteRT computes every output, wanted or not. content: a model that LiteRT has read.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    model.signatureDefs = None  # they name the other outputs
    graph = model.subgraphs[0]
    graph.outputs = list(outputs)
    graph.operators = _needed(graph.operators, outputs)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _needed(operators: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """Those on which these tensors depend. operators: each stands behind those that it needs."""
    needed, kept = set(outputs), []
    for operator in reversed(operators):
        if not needed.isdisjoint(operator.outputs):
            needed.update(operator.inputs)
            kept.append(operator)
    return kept[::-1]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Of any shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), np.float32)


def _short(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
