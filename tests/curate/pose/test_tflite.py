"""A model without the outputs that nobody wants gives the same numbers with fewer operators."""

import numpy as np
import pytest

from curate.pose.tflite import Model, reduced
from curate.pose.weights import find

pytestmark = pytest.mark.slow

INPUT = (1, 256, 256, 3)
OUTPUTS = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))  # the third: whose pixel it is


@pytest.fixture(scope="module")
def content() -> bytes:
    return find().landmarks


def operators(content: bytes) -> int:
    from ai_edge_litert import schema_py_generated as schema

    return int(schema.Model.GetRootAs(content).Subgraphs(0).OperatorsLength())


def test_the_outputs_that_are_wanted_are_the_whole_models(content: bytes) -> None:
    pixels = np.random.default_rng(0).random(INPUT, np.float32)
    whole = Model(content, "x.task", 1, inputs=(INPUT,), outputs=OUTPUTS)(pixels)
    wanted = Model(content, "x.task", 1, inputs=(INPUT,), outputs=OUTPUTS, used=(0, 1, 3))(pixels)
    assert [one.tobytes() for one in wanted] == [whole[number].tobytes() for number in (0, 1, 3)]


def test_operators_that_serve_other_outputs_alone_are_left_out(content: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    made = {one["name"]: one["index"] for one in Interpreter(model_content=content).get_output_details()}
    everything = reduced(content, tuple(made.values()))
    assert operators(everything) == operators(content)
    without_pixels = reduced(content, tuple(index for name, index in made.items() if name != "Identity_2"))
    presence = reduced(content, (made["Identity_1"],))
    assert operators(presence) < operators(without_pixels) < operators(content)
