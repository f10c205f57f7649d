"""Which pose a label is, where its name doesn't say it: a file (YAML) of LABEL: POSE."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from curate.foundation.errors import UsageError
from curate.foundation.options import option
from fewshot.methods.listed import taking

_EXPECTED = "write, for each label, LABEL: POSE, a name of data/poses.yaml or data/everyday.yaml"


def _read(given: Any) -> Any:
    """That of a file, where its path is given."""
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str | Path):
        raise ValueError("must be a file (YAML) of LABEL: POSE")
    from curate.foundation import yaml_files  # it loads yaml, which --help goes without

    path = Path(given).expanduser()
    found = yaml_files.read(path, "--pose-map", _EXPECTED)
    if found is None or not found.is_mapping or not found.pairs():
        raise UsageError(f"--pose-map {path} names no pose; {_EXPECTED}")
    return {_text(label, "a label"): _text(pose, f"the pose of {label.written}") for label, pose in found.pairs()}


def _text(entry: Any, what: str) -> str:
    value = entry.plain()
    if not isinstance(value, str) or not value.strip():
        raise entry.wrong(f"{what} must be text, not {entry.shown()}; {_EXPECTED}")
    return str(value.strip())


PoseMap = Annotated[
    dict[str, str],
    BeforeValidator(_read),
    option(f"Poses of labels whose names don't say them: a file (YAML) of LABEL: POSE ({taking('pose_map')}).",
           metavar="<path>"),
]  # fmt: skip
