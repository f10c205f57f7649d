"""A file that onnxruntime runs as torch runs the model, or no file."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.foundation.errors import FewposeError
from fewshot.classifier import Head
from fewshot.exporting import library, onnx
from fewshot.exporting.export import graph_of
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")
pytest.importorskip("onnxscript", reason="needs pip install 'fewpose[export]'")


@pytest.mark.parametrize(
    ("tower", "head"),
    [
        *(("tiny/random", head) for head in ("linear", "power", "cache")),
        ("lite0/random", "power"),
        ("ViT-B-32/random", "linear"),
    ],
)
def test_any_batch_says_what_the_model_says(
    trained: Callable[..., TrainedModel],
    shown: Callable[[TrainedModel], np.ndarray],
    tmp_path: Path,
    tower: str,
    head: str,
) -> None:
    model = trained(tower, head)
    graph = graph_of(model)
    assert onnx.write(graph, tmp_path / "a.onnx", {}) < onnx.MOST_DIFFERENCE
    running = library.session(tmp_path / "a.onnx", 1)
    pixels = shown(model)
    expected = model.probabilities(pixels)
    assert np.ptp(expected, axis=0).min() > 0.1  # it doesn't say the same of all
    for batch in (1, 6):
        np.testing.assert_allclose(onnx.probabilities(running, pixels[:batch]), expected[:batch], atol=1e-4)


def test_its_input_output_and_properties_have_names(tiny_model: TrainedModel, tmp_path: Path) -> None:
    onnx.write(graph_of(tiny_model), tmp_path / "a.onnx", {"classes": '["bärs"]'})
    running = library.session(tmp_path / "a.onnx")
    (taken,), (given,) = running.get_inputs(), running.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("pixels", "tensor(uint8)", ["batch", 64, 64, 3])
    assert (given.name, given.type, given.shape) == ("probabilities", "tensor(float)", ["batch", 3])
    assert running.get_modelmeta().custom_metadata_map == {"classes": '["bärs"]'}
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.parametrize("error", [2e-4, np.nan], ids=["a little", "not a number"])
def test_what_differs_from_torch_is_not_kept(
    tiny_model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float
) -> None:
    kept = tmp_path / "a.onnx"
    kept.write_bytes(b"an earlier one")
    right = onnx.probabilities
    monkeypatch.setattr(onnx, "probabilities", lambda running, pixels: right(running, pixels) + np.float32(error))
    with pytest.raises(FewposeError, match=re.escape(f"{kept} is not written: in onnxruntime, probabilities differ")):
        onnx.write(graph_of(tiny_model), kept, {})
    assert kept.read_bytes() == b"an earlier one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_what_torch_cannot_say_in_onnx_is_one_sentence(trained: Callable[..., TrainedModel], tmp_path: Path) -> None:
    graph = graph_of(trained())
    graph.head = Unheard()
    with pytest.raises(FewposeError, match="can't write this model as ONNX: ") as error:
        onnx.write(graph, tmp_path / "a.onnx", {})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


class Unheard(Head):
    """What ONNX has no words for."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.special.bessel_j1(features)
        return result


def test_more_than_a_file_holds_is_refused(
    tiny_model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_MOST_BYTES", 1000)
    with pytest.raises(FewposeError, match="more than 2 GB doesn't fit in an ONNX file"):
        onnx.write(graph_of(tiny_model), tmp_path / "a.onnx", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_it_says_what_to_install(
    tiny_model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # Python's mark of a module that can't be imported
    with pytest.raises(FewposeError, match=re.escape("pip install 'fewpose[export]'")):
        onnx.write(graph_of(tiny_model), tmp_path / "a.onnx", {})
    assert list(tmp_path.iterdir()) == []


def test_the_drawn_pixels_are_the_same_each_time_and_no_two_alike() -> None:
    pixels = onnx.drawn(3, 50)
    assert pixels.shape == (3, 50, 50, 3)
    np.testing.assert_array_equal(pixels, onnx.drawn(3, 50))
    assert len({each.tobytes() for each in pixels}) == 3
