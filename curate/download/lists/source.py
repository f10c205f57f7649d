"""Where links are read from, looked at before anything is loaded that reads them."""

from pathlib import Path

from curate.foundation.errors import UsageError


def require(source: Path) -> None:
    """Raises UsageError where there is nothing."""
    if not source.exists():
        raise UsageError(f"{source} does not exist; name a folder of link lists, or one list")
