"""A model's file and the JSON beside it: what it says is so, and what can't be meant is refused."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.images.transform import Transform
from fewshot.classifier import ImageClassifier
from fewshot.exporting import description, export, library, onnx, samples
from fewshot.trained.model import TrainedModel
from tests.fewshot.exporting.conftest import CLASSES

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")


@pytest.fixture(scope="module")
def fp32(tiny_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> export.Exported:
    return export.export(tiny_model, tmp_path_factory.mktemp("exported") / "yoga.onnx")


@pytest.mark.slow
def test_the_json_tells_the_file_and_how_to_use_it(fp32: export.Exported, tiny_model: TrainedModel) -> None:
    about = json.loads(fp32.json.read_bytes())
    content = fp32.onnx.read_bytes()
    assert (fp32.json.name, about) == ("yoga.json", json.loads(json.dumps(fp32.about)))
    assert about["onnx"] == {
        "file": "yoga.onnx",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert about["classes"] == list(CLASSES)
    assert (about["temperature"], about["threshold"], about["precision"]) == (1.3, 0.0, "fp32")
    assert about["input"] | {"layout": ""} == {
        "name": "pixels",
        "type": "uint8",
        "shape": ["batch", 64, 64, 3],
        "layout": "",
    }
    assert (about["output"]["name"], about["output"]["shape"]) == ("probabilities", ["batch", 3])
    assert about["preprocessing"]["size"] == 64
    assert about["parity"]["largest_difference"] == onnx.difference(export.graph_of(tiny_model), fp32.onnx)
    assert {"fewpose", "torch", "onnxruntime", "pillow"} <= about["versions"].keys()
    properties = library.session(fp32.onnx).get_modelmeta().custom_metadata_map
    assert json.loads(properties["classes"]) == list(CLASSES)
    assert properties["fewpose"] == about["versions"]["fewpose"]


@pytest.mark.slow
def test_the_numbers_of_int8_can_be_found_again(
    tiny_model: TrainedModel, photographs: Callable[..., Path], tmp_path: Path
) -> None:
    folder = photographs(bars=14, rings=14, waves=14)
    # Wrong labels, so that there is something to count.
    (folder / "bars" / "0.png").rename(folder / "rings" / "wrong.png")
    done = export.export(tiny_model, tmp_path / "yoga.onnx", folder)
    tried = samples.read(folder, CLASSES, tiny_model.about.transform)
    right = tiny_model.probabilities(tried.pixels).argmax(axis=1) == tried.labels
    running = library.session(done.onnx)
    said = np.concatenate([onnx.probabilities(running, tried.pixels[at : at + 16]) for at in range(0, 42, 16)])
    right8 = said.argmax(axis=1) == tried.labels
    loss = done.about["int8"]["loss"]
    assert loss["images"] == len(tried) == 42
    assert loss["accuracy_fp32"] == pytest.approx(right.mean())
    assert loss["accuracy_int8"] == pytest.approx(right8.mean())
    assert (loss["only_fp32"], loss["only_int8"]) == ((right & ~right8).sum(), (right8 & ~right).sum())
    assert loss["low"] < loss["difference"] < loss["high"]
    assert 0.6 < right.mean() < 1  # the model knows something that could be lost
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photographs", "yoga.json", "yoga.onnx"]


@pytest.mark.slow
def test_images_that_it_was_trained_on_are_called_so(
    tiny_model: TrainedModel, collection: Collection, tmp_path: Path
) -> None:
    about = replace(tiny_model.about, trained_on={"collection": str(collection.root.resolve())})
    model = TrainedModel(about, ImageClassifier(tiny_model.tower, tiny_model.head), tiny_model.device)
    assert export.export(model, tmp_path / "a.onnx", collection.root).about["int8"]["of_its_training"] is True
    assert export.export(tiny_model, tmp_path / "a.onnx", collection.root).about["int8"]["of_its_training"] is False


def test_too_few_images_for_int8_are_refused_before_anything_is_written(
    tiny_model: TrainedModel, photographs: Callable[..., Path], tmp_path: Path
) -> None:
    folder = photographs(bars=5, rings=6)
    with pytest.raises(FewposeError, match=re.escape(f"{folder} has 11 images that can be used, and int8 takes 30")):
        export.export(tiny_model, tmp_path / "yoga.onnx", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


@pytest.mark.slow
def test_an_earlier_export_is_replaced(tiny_model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "yoga.onnx"
    path.write_bytes(b"")
    (tmp_path / "yoga.json").write_text('{"onnx": {}}')
    export.export(tiny_model, path)
    assert json.loads((tmp_path / "yoga.json").read_bytes())["classes"] == list(CLASSES)


@pytest.mark.parametrize("content", [b'{"classes": []}', b"[]", b"\xff", b"3"])
def test_a_json_of_something_else_is_not_written_over(tiny_model: TrainedModel, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(UsageError, match="is there, and describes no ONNX file; choose another name"):
        export.export(tiny_model, tmp_path / "model.onnx")
    assert (tmp_path / "model.json").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize("name", ["yoga", "yoga.json", "yoga.ONNX"])
def test_another_ending_is_refused(tiny_model: TrainedModel, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        export.export(tiny_model, tmp_path / name)


def test_a_place_that_cannot_be_written_is_one_sentence(tiny_model: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FewposeError, match="can't be written"):
        export.export(tiny_model, tmp_path / "file" / "yoga.onnx")


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_steps_name_the_sizes(fit: str) -> None:
    told: dict[str, Any] = description.preprocessing(Transform(224, fit))
    assert (told["fit"], told["draft"]) == (fit, (448, 448))
    assert any("224" in step for step in told["steps"])
    assert ("(123, 117, 104)" in " ".join(told["steps"])) == (fit == "pad")
