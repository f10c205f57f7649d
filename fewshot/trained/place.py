"""The files of a trained model's directory, and whether a directory is one: said before torch is loaded."""

from pathlib import Path

from curate.foundation.errors import UsageError
from curate.foundation.text import command_line

JSON, WEIGHTS, CARD = "model.json", "weights.safetensors", "README.md"
FOLDS = ".folds"  # while it is trained
_OURS = {".lock", FOLDS, JSON, WEIGHTS, CARD}


def require(folder: Path) -> None:
    """Raises UsageError where `folder` holds no trained model."""
    if not (folder / JSON).is_file():
        raise UsageError(f"{folder} holds no trained model: {_instead(folder)}")


def require_free(out: Path) -> None:
    """Raises UsageError where `out` holds anything else than a model, or than one that is being trained."""
    if out.exists() and (not out.is_dir() or any(each.name not in _OURS for each in out.iterdir())):
        raise UsageError(f"{out} holds something else than a model; choose another --out")


def _instead(folder: Path) -> str:
    if folder.is_file():
        return "it is a file, and a model is a directory; make one with fewshot train COLLECTION --out MODEL"
    if (folder / "images.parquet").exists() or (folder / "sweep.json").exists():
        return f"train one on it with {command_line('fewshot', 'train', folder, '--out', 'MODEL')}"
    return f"there is no {JSON} in it; make one with fewshot train COLLECTION --out MODEL"
