"""A YAML file that a person wrote, read with her mistakes in mind."""

from pathlib import Path
from typing import Any

import yaml

from curate.foundation.errors import UsageError


def content(path: Path, option: str, expected: str) -> Any:
    """What the file that `option` names holds. Raises UsageError, which ends with what is `expected`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{option} {path} can't be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place else ""
        raise UsageError(f"{option} {path} is no YAML{where}; {expected}") from error
