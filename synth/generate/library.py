"""The one door to diffusers and transformers, an optional extra: they are imported when a model is to be loaded."""

import importlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from curate.foundation.errors import FewposeError
from curate.foundation.quiet import quiet

PACKAGES = ("fewpose", "diffusers", "transformers", "torch")  # those that decide pixels, and ours


@cache
def diffusers() -> ModuleType:
    """The package. Raises FewposeError where the extra is not installed."""
    try:
        with quiet():
            transformers = importlib.import_module("transformers")
            package = importlib.import_module("diffusers")
    except ImportError as error:
        raise FewposeError(
            f"images from a model need packages that are missing here ({error.name}): pip install 'fewpose[synth]'"
        ) from error
    for each in (transformers, package):
        each.utils.logging.disable_progress_bar()  # one bar a run, and it is ours
    return package


def versions() -> str:
    """What the pixels depend on: "fewpose 0.1.0, diffusers 0.42.1, ..."."""
    return ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
