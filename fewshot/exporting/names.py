"""Which files and folders an export is given: said before torch is loaded."""

from pathlib import Path

from curate.foundation import json_files
from curate.foundation.errors import UsageError


def json_path(path: Path) -> Path:
    """Where the JSON of the ONNX file `path` goes.

    Raises UsageError for a name that does not end in .onnx, and where another JSON is: a model's own directory has one.
    """
    if path.suffix != ".onnx":
        raise UsageError(f"--onnx {path}: the name of the file to make ends in .onnx")
    beside = path.with_suffix(".json")
    if beside.exists():
        try:
            ours = "onnx" in json_files.read(beside)
        except (OSError, json_files.NotJson):
            ours = False
        if not ours:
            raise UsageError(f"--onnx {path}: {beside} is there, and describes no ONNX file; choose another name")
    return beside


def require_free(folder: Path) -> None:
    """Raises UsageError where something is already at the place of the folder to make."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--folder {folder} is not empty; export to a new folder")


def require_images(source: Path) -> None:
    """Raises UsageError for what is neither a collection nor a folder."""
    if not source.is_dir():
        raise UsageError(f"--images {source}: name a collection, or a folder with a folder of images per class")
