"""An exported folder says what `fewshot predict` says, where neither fewpose nor torch can be imported."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.foundation.errors import FewposeError, UsageError
from fewshot.exporting import alone, folder
from fewshot.trained import directory
from fewshot.trained.looking import Looking
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")

Run = Callable[..., tuple[int, str, str]]
Alone = Callable[..., subprocess.CompletedProcess[str]]

# What pip installs with the four packages that an exported folder asks for. Nothing else can be imported.
ALONE = """
import sys
ALLOWED = {*sys.stdlib_module_names, "numpy", "PIL", "onnxruntime", "ai_edge_litert", "flatbuffers", "google",
           "ml_dtypes", "backports", "tqdm", "typing_extensions", "packaging", "fewpose", "classify"}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Finder())
"""
TELL = """
import json, sys
from classify import opened
model = opened()
print(json.dumps([model.tell(open(file, "rb").read()).probabilities.tolist() for file in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def body(bodied: Callable[..., TrainedModel]) -> TrainedModel:
    return bodied()


@pytest.fixture(scope="module")
def exported(body: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder.export(body, tmp_path_factory.mktemp("exported") / "poses").folder


@pytest.fixture
def alone_in(tmp_path: Path) -> Alone:
    """Runs Python with these arguments where nothing but the packages of the folder can be imported."""
    (tmp_path / "blocking").mkdir()
    (tmp_path / "blocking" / "sitecustomize.py").write_text(ALONE)

    def start(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        places = [tmp_path / "blocking", *([path] if path else [])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return start


def expected(model: TrainedModel, files: list[Path]) -> np.ndarray:
    looking = Looking(model)
    return looking.probabilities([looking.of_file(file.read_bytes()) for file in files])


def test_where_only_its_packages_are_nothing_else_is(alone_in: Alone) -> None:
    for name in ("torch", "sklearn", "scipy", "pandas", "curate", "fewshot", "onnx", "rich"):
        done = alone_in("-c", f"import {name}")
        assert f"{name} is not here" in done.stderr


@pytest.mark.parametrize("image", [False, True], ids=["body", "body and image"])
def test_it_says_what_the_model_says(
    bodied: Callable[..., TrainedModel], people: list[Path], alone_in: Alone, tmp_path: Path, image: bool
) -> None:
    model = bodied(image)
    made = folder.export(model, tmp_path / "poses")
    moved = made.folder.rename(tmp_path / "moved, and renamed")
    done = alone_in("-c", TELL, *people, path=moved)
    assert done.returncode == 0, done.stderr
    wanted = expected(model, people)
    assert np.ptp(wanted[:-1], axis=0).min() > 0.1  # it doesn't say the same of all
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=1e-4)
    assert sorted(name for name in made.about["files"] if name.endswith(".onnx")) == (
        ["body-2.onnx", "body.onnx", "image.onnx"] if image else ["body.onnx"]
    )


def test_a_model_of_images_makes_a_folder_too(
    trained: Callable[..., TrainedModel], people: list[Path], alone_in: Alone, tmp_path: Path
) -> None:
    model = trained()
    made = folder.export(model, tmp_path / "patterns").folder
    done = alone_in("-c", TELL, *people, path=made)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected(model, people), atol=1e-4)
    assert "ai-edge-litert" not in (made / "requirements.txt").read_text()
    assert not list(made.glob("*.tflite"))


def test_the_program_prints_what_predict_says(
    body: TrainedModel, exported: Path, people: list[Path], alone_in: Alone, run: Run, tmp_path: Path
) -> None:
    directory.save(tmp_path / "kept", body.about, body.classifier)
    code, out, _ = run("predict", tmp_path / "kept", *people, "--json", "--device", "cpu")
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    done = alone_in(exported / "classify.py", *people)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, nobody = done.stdout.splitlines()
    assert nobody == f"{people[-1]}: none of these (nobody was found in it)"
    for line, answer in zip(lines, told[:-1], strict=True):
        words, _, probability = line.rpartition(" ")
        assert words == f"{answer['file']}: {answer['answer']}"
        assert float(probability.strip("()")) == pytest.approx(answer["top"][0]["probability"], abs=7e-4)
    assert len({answer["answer"] for answer in told[:-1]}) == 3


def test_below_the_threshold_it_is_none_of_these(
    bodied: Callable[..., TrainedModel], people: list[Path], alone_in: Alone, tmp_path: Path
) -> None:
    model = bodied(threshold=1.0)
    made = folder.export(model, tmp_path / "poses").folder
    done = alone_in("-P", made / "classify.py", people[0])  # without its folder on the path
    (most,) = expected(model, people[:1]).max(axis=1)
    assert done.stdout == f"{people[0]}: none of these ({most:.3f})\n"


def test_what_is_no_picture_is_a_line_and_the_others_go_on(
    exported: Path, people: list[Path], alone_in: Alone, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    cut = tmp_path / "cut\x1b.png"
    cut.write_bytes(people[0].read_bytes()[:2000])
    done = alone_in(exported / "classify.py", "text.jpg", "nowhere.jpg", "empty.png", cut.name, people[0])
    assert done.returncode == 1
    assert done.stdout.startswith(f"{people[0]}: ")
    said = done.stderr.splitlines()
    assert [line[: line.index(",", 25) if "," in line[25:] else None] for line in said[1:3]] == [
        "error: nowhere.jpg: cannot be opened: No such file or directory",
        "error: empty.png: empty file: 0 bytes",
    ]
    assert said[0].startswith("error: text.jpg: not an image: ")
    assert said[3].startswith(r"error: cut\x1b.png: truncated: ")
    assert len(said) == 4


def test_without_a_picture_it_says_how(exported: Path, alone_in: Alone) -> None:
    done = alone_in(exported / "classify.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: name pictures: python classify.py PHOTO.jpg ...\n"


@pytest.mark.parametrize("name", ["body.onnx", "pose_detector.tflite", "model.json", "gone"])
def test_a_damaged_folder_is_one_sentence(exported: Path, alone_in: Alone, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    if name == "gone":
        (copy / "body.onnx").unlink()
    else:
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
    done = alone_in(copy / "classify.py", "any.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: .*(is damaged|cannot be read).*export the model again\n", done.stderr)
    assert str(copy / (name if name != "gone" else "body.onnx")) in done.stderr


@pytest.mark.parametrize("missing", ["numpy", "onnxruntime", "ai_edge_litert"])
def test_a_missing_package_is_named_with_what_to_install(
    exported: Path, people: list[Path], tmp_path: Path, missing: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {missing!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    command: list[str | Path] = [sys.executable, exported / "classify.py", people[0]]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    named = missing.replace("_", "-")
    assert done.stderr.splitlines()[-1].startswith(f"error: {named} is missing")
    assert f"pip install -r {exported / 'requirements.txt'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_folder_tells_what_it_holds(exported: Path, body: TrainedModel) -> None:
    told = json.loads((exported / "model.json").read_bytes())
    assert (told["classes"], told["temperature"], told["keypoints"]) == (
        list(body.classes),
        body.about.temperature,
        body.about.keypoints,
    )
    assert sorted(told["files"]) == ["body.onnx", "pose_detector.tflite", "pose_landmarks_detector.tflite"]
    for name, file in told["files"].items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == file["sha256"]
    readme = (exported / "README.md").read_text()
    assert "the weights of BlazePose in the two `.tflite` files" in readme
    assert "Apache License 2.0" in readme
    assert "Apache License" in (exported / "LICENSE").read_text()
    lines = (exported / "requirements.txt").read_text().splitlines()
    assert [re.split("[<>=]", line)[0] for line in lines] == ["numpy", "pillow", "onnxruntime", "ai-edge-litert"]


def test_its_estimator_is_one_that_curate_pose_takes(exported: Path) -> None:
    from curate.pose.settings import PoseSettings

    assert PoseSettings(weights=exported).load().digest == PoseSettings().load().digest


def test_the_same_model_makes_the_same_files(body: TrainedModel, exported: Path, tmp_path: Path) -> None:
    again = folder.export(body, tmp_path / "again").folder
    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [str(file) for file in files if (again / file).read_bytes() != (exported / file).read_bytes()] == []


def test_a_folder_that_holds_something_is_left_alone(body: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses" / "mine.txt").touch()
    with pytest.raises(UsageError, match="is not empty; export to a new folder"):
        folder.export(body, tmp_path / "poses")
    assert [path.name for path in tmp_path.rglob("*")] == ["poses", "mine.txt"]


def test_where_it_fails_nothing_is_left(body: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(FewposeError, match=re.escape("pip install 'fewpose[export]'")):
        folder.export(body, tmp_path / "poses")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keypoints", "sentence"),
    [
        ({"estimator": "blazepose-full", "digest": "0" * 16}, "with other weights or settings"),
        ({"estimator": "openpose", "digest": ""}, "which this fewpose does not know"),
    ],
)
def test_another_estimator_than_it_learned_from_is_refused(
    body: TrainedModel, tmp_path: Path, keypoints: dict[str, str], sentence: str
) -> None:
    other = TrainedModel(dataclasses.replace(body.about, keypoints=keypoints), body.classifier, body.device)
    with pytest.raises(UsageError, match=sentence):
        folder.export(other, tmp_path / "poses")
    assert list(tmp_path.iterdir()) == []


def test_asked_from_python_what_it_lacks_is_said(exported: Path) -> None:
    model = alone.ExportedModel(exported, 1)
    with pytest.raises(TypeError, match="looks at joints"):
        model.probabilities(None, None)
