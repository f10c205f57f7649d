"""`fewshot export` at the terminal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fewshot.classifier import ImageClassifier
from fewshot.trained import directory
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def kept(tiny_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's directory."""
    folder = tmp_path_factory.mktemp("kept") / "yoga"
    directory.save(folder, tiny_model.about, ImageClassifier(tiny_model.tower, tiny_model.head))
    return folder


def test_it_says_what_was_written_and_how_near_it_is(run: Run, kept: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", kept, "--onnx", tmp_path / "yoga.onnx")
    assert code == 0
    first, second = out.splitlines()
    assert first == f"{tmp_path / 'yoga.onnx'}: 0.8 MB, 3 classes, fp32; how to use it: {tmp_path / 'yoga.json'}"
    assert second.startswith("in fp32, onnxruntime's probabilities differ from torch's by ")


def test_int8_says_what_it_loses(run: Run, kept: Path, photographs: Callable[..., Path], tmp_path: Path) -> None:
    folder = photographs(bars=12, rings=12, waves=12, cats=1)
    code, out, _ = run("export", kept, "--onnx", tmp_path / "yoga.onnx", "--int8", "--images", folder)
    assert code == 0
    *_, sizes, loss, left_out = out.splitlines()
    assert sizes == "int8 (dynamic): 0.8 MB become 0.5"
    assert loss.startswith("on 36 images: accuracy ")
    assert left_out == "left out: 1 of cats, no class of the model"


def test_json_prints_what_lies_beside_the_file(run: Run, kept: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", kept, "--onnx", tmp_path / "yoga.onnx", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "yoga.json").read_bytes())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--int8"], "--int8 needs --images, a collection or a folder per class"),
        (["--images", "photographs"], "--images is for --int8"),
        (["--int8", "--images", "/nowhere"], "--images /nowhere: name a collection, or a folder with a folder"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    run: Run, kept: Path, tmp_path: Path, flags: list[str], sentence: str
) -> None:
    code, _, error = run("export", kept, "--onnx", tmp_path / "yoga.onnx", *flags)
    assert code == 2
    assert error.startswith(f"error: {sentence}")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_one_sentence(run: Run, tmp_path: Path) -> None:
    code, _, error = run("export", tmp_path, "--onnx", tmp_path / "yoga.onnx")
    assert code == 2
    assert error.startswith(f"error: {tmp_path} holds no trained model")


@pytest.fixture(scope="module")
def kept_body(bodied: Callable[..., TrainedModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "poses"
    model = bodied(image=True)
    directory.save(folder, model.about, model.classifier)
    return folder


def test_a_folder_is_told_with_its_use(run: Run, kept_body: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", kept_body, "--folder", tmp_path / "poses")
    assert code == 0
    first, second, third = out.splitlines()
    assert first.endswith(f" MB, 3 classes, fp32; how to use it: {tmp_path / 'poses' / 'README.md'}")
    assert second.startswith("in onnxruntime, what its parts say differs from here by ")
    assert third == f"try it: python {tmp_path / 'poses' / 'classify.py'} PHOTO.jpg"
    code, out, _ = run("export", kept_body, "--folder", tmp_path / "again", "--json")
    assert (code, json.loads(out)["classes"]) == (0, ["tree", "triangle", "bridge"])


def test_what_a_model_of_the_body_cannot_be_is_one_sentence(
    run: Run, kept_body: Path, photographs: Callable[..., Path], tmp_path: Path
) -> None:
    code, _, error = run("export", kept_body, "--onnx", tmp_path / "a.onnx")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("error: this model looks at the body, which takes more than an ONNX file: export it with")
    words = ("export", kept_body, "--onnx", tmp_path / "a.onnx", "--int8", "--images", photographs(bars=1))
    assert run(*words)[0] == 2
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "say --onnx FILE.onnx or --folder FOLDER"),
        (("--onnx", "a.onnx", "--folder", "a"), "say --onnx FILE.onnx or --folder FOLDER"),
        (("--folder", "a", "--int8"), "--int8 is for --onnx"),
        (("--folder", "a", "--images", "b"), "--images is for --int8"),
    ],
)
def test_options_that_do_not_go_together(run: Run, kept: Path, options: tuple[str, ...], sentence: str) -> None:
    code, _, error = run("export", kept, *options)
    assert code == 2
    assert sentence in error
