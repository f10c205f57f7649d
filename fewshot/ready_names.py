"""What a person may name as a model: a directory, or a classifier that needs no training (fewshot/trained/ready.py)."""

from pathlib import Path

YOGA, EVERYDAY = "yoga82", "everyday"
NAMES = (YOGA, EVERYDAY)


def model_path(given: str) -> Path:
    """A directory; or one of NAMES as it is, while a directory of that name is ./NAME."""
    path = Path(given).expanduser()
    return path if given in NAMES or path.name not in NAMES else path.absolute()
