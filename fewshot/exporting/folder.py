"""A trained model as a folder that works alone: its parts as ONNX files, the estimator's, and a program that asks them.

README.md  requirements.txt  LICENSE     what it is, what it takes, and under which licence
classify.py                              python classify.py PHOTO.jpg ...
model.json                               classes, temperature, threshold, digests; how the parts answer together
body.onnx                                trees: features of postures in, shares of the classes out
image.onnx                               pixels in, probabilities out; of several of a kind image-2.onnx and so on
pose_detector.tflite, pose_landmarks_detector.tflite    the estimator's two models, as they are
fewpose/                                 copies of the modules that classify.py takes
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from curate.foundation import json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.pose.weights import Weights
from fewshot.classifier import BodyClassifier, Classifier, ImageClassifier, Mixture
from fewshot.exporting import alone, classify, description, folder_readme, onnx, trees
from fewshot.exporting.copied import copies, relative
from fewshot.exporting.graph import Graph
from fewshot.exporting.names import require_free
from fewshot.trained.looking import estimator_of, settings_of
from fewshot.trained.model import TrainedModel

MODULES = "fewpose"  # the folder of the copies
PROGRAM = "classify.py"
WEIGHTS = (
    "pose_detector.tflite",
    "pose_landmarks_detector.tflite",
)  # names by which `curate pose --weights` knows them


class ExportedFolder(NamedTuple):
    """The folder, and what its model.json says."""

    folder: Path
    about: dict[str, Any]


def export(model: TrainedModel, folder: Path) -> ExportedFolder:
    """Write `model` as `folder`, which is made, whole or not at all.

    Raises UsageError where the folder holds something, or the model learned from keypoints of an estimator that needs
    torch; FewposeError where the extra is missing, the estimator is not to be had, or onnxruntime's output differs.
    """
    require_free(folder)
    found = _weights(model) if model.needs_joints else None
    unfinished = folder.absolute().with_name(f".writing-{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        about = _Writing(model, unfinished).write(found)
        if folder.exists():
            folder.rmdir()  # it is empty
        os.sync()
        unfinished.rename(folder)
    except OSError as error:
        raise FewposeError(f"{folder} can't be written ({error.strerror or error}); nothing was exported") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ExportedFolder(folder, about)


class _Writing:
    """A folder while it is written."""

    def __init__(self, model: TrainedModel, folder: Path) -> None:
        self.model, self.folder = model, folder
        self._parity: dict[str, float] = {}

    def write(self, estimator: Weights | None) -> dict[str, Any]:
        about, model = self.model.about, self.model
        classifier, left = self._classifier(model.classifier, about.temperature)
        if estimator:
            for name, content in zip(WEIGHTS, (estimator.detector, estimator.landmarks), strict=True):
                (self.folder / name).write_bytes(content)
        told = {
            "format": alone.FORMAT,
            "classes": list(about.classes),
            "threshold": about.threshold,
            "temperature": left,
            "classifier": classifier,
            "keypoints": about.keypoints,
            "transform": asdict(about.transform) if model.needs_pixels else None,
            "how": folder_readme.how(classifier),
            "model": {"of": about.model, "method": about.method, "weights_sha256": about.weights_sha256},
            "parity": {"of": "ONNX files in onnxruntime against this fewpose, in fp32", "largest": self._parity},
            "versions": description.versions() | _versions(model),
            "files": {path.name: _digest(path) for path in sorted(self.folder.iterdir())},
        }
        self._program()
        (self.folder / alone.REQUIREMENTS).write_text("".join(f"{line}\n" for line in _requirements(model)))
        (self.folder / "README.md").write_text(folder_readme.text(told), encoding="utf-8")
        if licence := _licence():
            (self.folder / "LICENSE").write_text(licence, encoding="utf-8")
        json_files.write(self.folder / alone.JSON, told)
        return told

    def _classifier(self, classifier: Classifier, temperature: float) -> tuple[dict[str, Any], float]:
        """Its entry in model.json, and the temperature by which what it says is still to be divided."""
        if isinstance(classifier, Mixture):
            pairs = zip(classifier.sides, classifier.temperatures, strict=True)
            sides = [self._classifier(each, by) for each, by in pairs]
            return {
                "kind": alone.TOGETHER,
                "sides": [entry for entry, _ in sides],
                "temperatures": [left for _, left in sides],
                "weights": list(classifier.weights),
            }, temperature
        if isinstance(classifier, BodyClassifier):
            return {"kind": alone.BODY, "file": self._trees(classifier)}, temperature
        return {"kind": alone.IMAGE, "file": self._image(classifier, temperature)}, 1.0

    def _trees(self, classifier: BodyClassifier) -> str:
        path = self._free(alone.BODY)
        self._parity[path.name] = trees.write(classifier.forest, classifier.classes, path, self._properties())
        return path.name

    def _image(self, classifier: ImageClassifier, temperature: float) -> str:
        """`temperature` is inside, because a probability says nothing more of a logit that is very small."""
        about, path = self.model.about, self._free(alone.IMAGE)
        graph = Graph(classifier.tower, classifier.head, about.mean, about.std, temperature, about.transform.size)
        self._parity[path.name] = onnx.write(graph, path, self._properties())
        return path.name

    def _free(self, kind: str) -> Path:
        number = 1 + sum(name.startswith(kind) for name in self._parity)
        return self.folder / f"{kind}{f'-{number}' if number > 1 else ''}.onnx"

    def _properties(self) -> dict[str, str]:
        return {"classes": json.dumps(self.model.classes, ensure_ascii=False), "fewpose": _version("fewpose")}

    def _program(self) -> None:
        program = Path(classify.__file__).read_text(encoding="utf-8")
        (self.folder / PROGRAM).write_text(relative(program, levels=0, package=MODULES), encoding="utf-8")
        for name, source in copies([alone.__name__]).items():
            path = self.folder / MODULES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        (self.folder / MODULES / "__init__.py").write_text(folder_readme.OF_COPIES, encoding="utf-8")


def _weights(model: TrainedModel) -> Weights:
    """The estimator's, the same that the model learned from. Raises as `export`."""
    wanted = model.about.keypoints
    estimator_of(wanted)  # raises for another one than the model learned from
    found = settings_of(wanted).found()
    if not isinstance(found, Weights):
        raise UsageError(
            f"this model looks at keypoints of {wanted['estimator']}, which needs torch; one that works without it "
            "learns from keypoints of BlazePose (curate pose --model blazepose-full)"
        )
    return found


def _digest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _requirements(model: TrainedModel) -> Iterator[str]:
    """Lines of a requirements.txt, with the versions that fewpose itself asks for."""
    asked = importlib.metadata.requires("fewpose") or []
    for name in ("numpy", "pillow", "onnxruntime", *(["ai-edge-litert"] if model.needs_joints else [])):
        yield next(line.partition(";")[0].strip() for line in asked if re.match(rf"{name}\b", line))


def _versions(model: TrainedModel) -> dict[str, str]:
    return {"ai-edge-litert": _version("ai-edge-litert")} if model.needs_joints else {}


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _licence() -> str:
    """Apache-2.0, under which fewpose's modules and the estimator's weights are; "" where fewpose lacks the file."""
    files = importlib.metadata.files("fewpose") or []
    return next((file.read_text(encoding="utf-8") for file in files if file.name == "LICENSE"), "")
