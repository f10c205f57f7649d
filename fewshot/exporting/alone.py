"""An exported folder in use: pictures in, probabilities out, by onnxruntime, LiteRT, numpy and Pillow alone.

`fewshot export --folder` puts a copy of this file and of all that it imports into the folder, which classify.py there
starts. So what stands here may import nothing that takes other packages.
"""

import hashlib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.foundation.text import shown
from curate.images.decoding import Unreadable, open_image, read_file
from curate.images.transform import Transform
from curate.pose import weights
from curate.pose.blazepose import BlazePose
from curate.pose.in_files import people_in, surest
from fewshot.exporting import library
from fewshot.logits import mixed, of_postures, probabilities
from fewshot.predicting.answers import NONE, answer

FORMAT = 1
JSON, REQUIREMENTS = "model.json", "requirements.txt"
BODY, IMAGE, TOGETHER = "body", "image", "together"  # kinds of classifiers in model.json
FEATURES, PIXELS, PROBABILITIES = "features", "pixels", "probabilities"  # what ONNX files take and give
_TINY = np.float32(1e-38)  # a probability whose logarithm can still be taken


@dataclass(frozen=True)
class Look:
    """Of one picture what the model looks at: `pixels` (size, size, 3) uint8, `joints` (33, 5) float32; else None."""

    pixels: np.ndarray | None
    joints: np.ndarray | None


@dataclass(frozen=True)
class Told:
    """Of one picture: its `probabilities` (classes,). `label`: the likeliest class, None where its probability is below
    the threshold. `nobody`: the model looks at the body alone, and found none; then there is no label.
    """

    probabilities: np.ndarray
    label: str | None
    nobody: bool


class ExportedModel:
    """The model in a folder. Not to be shared between threads."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """threads: of onnxruntime, its own choice if None. Raises FewposeError where a file or a package is missing, or
        a file is not the one that was exported.
        """
        self._folder, self._threads = folder, threads
        self.about = _about(folder)
        self.classes: list[str] = self.about["classes"]
        self.threshold: float = self.about["threshold"]
        self.transform = Transform(**self.about["transform"]) if self.about["transform"] else None
        self._sessions = {name: self._session(name) for name in self.about["files"] if name.endswith(".onnx")}
        self.estimator = self._estimator() if self.about["keypoints"] else None

    def look(self, content: bytes) -> Look:
        """Of a picture's file. Raises Unreadable."""
        pixels = joints = None
        if self.transform is not None:
            pixels = self.transform.apply(open_image(content, draft=self.transform.draft_size()).image)
        if self.estimator is not None:
            joints = surest(people_in(self.estimator, content))
        return Look(pixels, joints)

    def probabilities(self, pixels: np.ndarray | None, joints: np.ndarray | None) -> np.ndarray:
        """(n, classes) float64, which sum to 1, of pixels (n, size, size, 3) uint8 and joints (n, 33, 5) float32; what
        the model doesn't look at may be None.
        """
        logits = self._logits(self.about["classifier"], pixels, joints)
        return probabilities(logits, self.about["temperature"])

    def tell(self, content: bytes) -> Told:
        """Of a picture's file. Raises Unreadable."""
        seen = self.look(content)
        pixels, joints = (None if each is None else each[None] for each in (seen.pixels, seen.joints))
        (found,) = self.probabilities(pixels, joints)
        nobody = seen.pixels is None and seen.joints is not None and not np.isfinite(seen.joints[:, 0]).any()
        label = answer("", found, tuple(self.classes), top=1, threshold=self.threshold).label
        return Told(found, None if nobody else label, nobody)

    def _logits(self, what: dict[str, Any], pixels: np.ndarray | None, joints: np.ndarray | None) -> np.ndarray:
        if what["kind"] == TOGETHER:
            sides = [self._logits(each, pixels, joints) for each in what["sides"]]
            return mixed(sides, what["temperatures"], what["weights"])
        session = self._sessions[what["file"]]
        if what["kind"] == BODY:
            if joints is None:
                raise TypeError("this model looks at joints")
            return of_postures(joints, lambda features: shares(session, features), len(self.classes))
        (found,) = session.run([PROBABILITIES], {PIXELS: pixels})
        return np.asarray(np.log(np.maximum(found, _TINY)))

    def _session(self, name: str) -> Any:
        self._checked(name)
        return library.session(self._folder / name, self._threads)

    def _estimator(self) -> BlazePose:
        for name in self.about["files"]:
            if name.endswith(".tflite"):
                self._checked(name)
        wanted = self.about["keypoints"]
        estimator = BlazePose(weights.find(wanted["estimator"].removeprefix("blazepose-"), self._folder))
        if estimator.digest != wanted["digest"]:
            raise FewposeError(
                f"{self._folder} finds joints in another way than its model learned from; export it again"
            )
        return estimator

    def _checked(self, name: str) -> None:
        """Raises FewposeError where a file is not the one that was exported."""
        path = self._folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FewposeError(f"{path} cannot be read ({error.strerror or error}); export the model again") from error
        if hashlib.sha256(content).hexdigest() != self.about["files"][name]["sha256"]:
            raise FewposeError(f"{path} is damaged, or of another model; export the model again")


def shares(session: Any, features: np.ndarray) -> np.ndarray:
    """Of features (n, 178) float32, by a file of trees: (n, classes) float32."""
    return np.asarray(session.run([PROBABILITIES], {FEATURES: features})[0])


def main(folder: Path, files: Sequence[str]) -> int:
    """Print a line for each picture. Returns the exit code: 1 where one cannot be looked at, 2 where none is named."""
    if not files:
        _complain("name pictures: python classify.py PHOTO.jpg ...")
        return 2
    try:
        model = ExportedModel(folder)
    except FewposeError as error:
        _complain(str(error))
        return 1
    failed = 0
    for file in files:
        try:
            _say(f"{file}: {_words(model.tell(read_file(Path(file))))}")
        except Unreadable as error:
            failed += 1
            _complain(f"{file}: {error}")
    return 1 if failed else 0


def _words(told: Told) -> str:
    if told.nobody:
        return f"{NONE} (nobody was found in it)"
    return f"{told.label or NONE} ({told.probabilities.max():.3f})"


def _say(line: str) -> None:
    sys.stdout.write(shown(line) + "\n")
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(shown(f"error: {line}") + "\n")


def _about(folder: Path) -> dict[str, Any]:
    path = folder / JSON
    try:
        about = json_files.read(path)
    except OSError as error:
        raise FewposeError(f"{path} cannot be read ({error.strerror or error}); export the model again") from error
    except json_files.NotJson as why:
        raise FewposeError(f"{path} is damaged: {why}; export the model again") from why
    if about.get("format") != FORMAT or "classifier" not in about:
        raise FewposeError(f"{path} describes no exported model of format {FORMAT}; export the model again")
    for name in ("onnxruntime", *(["ai_edge_litert"] if about["keypoints"] else [])):
        try:
            importlib.import_module(name)
        except ImportError as error:
            requirements = folder / REQUIREMENTS
            raise FewposeError(f"{name.replace('_', '-')} is missing here: pip install -r {requirements}") from error
    return about
