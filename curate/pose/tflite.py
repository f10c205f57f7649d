"""A TensorFlow Lite model on the CPU, run by LiteRT, whose shapes were compared with those that are expected."""

import threading
from collections.abc import Sequence

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

        Raises UsageError where `content` is another model, or damaged; FewposeError where LiteRT is not installed.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise FewposeError("finding poses needs LiteRT; pip install 'fewpose[pose]'") from error
        try:
            with _STARTING, quiet_stderr():  # it says which delegate it has
                self._interpreter = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"{source} holds a pose model that cannot be read ({_short(error)}); get it again"
            ) from error
        given = self._interpreter.get_input_details()
        # By name: the order in which they are listed differs between bundles of one model.
        made = sorted(self._interpreter.get_output_details(), key=lambda detail: detail["name"])
        shapes = [tuple(int(length) for length in detail["shape"]) for detail in (*given, *made)]
        if shapes != [*inputs, *outputs]:
            raise UsageError(f"{source} holds another model than BlazePose's: its shapes are {shapes}")
        self._given = [detail["index"] for detail in given]
        self._made = [made[number]["index"] for number in (used if used is not None else range(len(made)))]

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The wanted outputs, the caller's own. arrays: float32, of the shapes of the inputs."""
        for index, array in zip(self._given, arrays, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._made]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Of any shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), np.float32)


def _short(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
