"""Where the files of `data/` are: beside the packages in a checkout, inside `curate` when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The path of a shipped data file, e.g. `path("yoga82.csv")`.

    Raises FileNotFoundError where the installation lacks it, which no user can cause.
    """
    for root in (_PACKAGE / "data", _PACKAGE.parent / "data"):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"fewpose's data file {name} is missing from this installation")
