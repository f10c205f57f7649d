"""Flags that several commands of fewshot have, beside those of a sweep's settings (fewshot/sweeping/settings.py)."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.foundation.options import option, settings
from fewshot import methods
from fewshot.methods.listed import taking
from fewshot.methods.pose_map import PoseMap
from fewshot.methods.tuning_options import BATCH_SIZE, EPOCHS, RATE
from fewshot.ready_names import model_path

Kept = Annotated[
    Path,
    typer.Argument(
        parser=model_path,
        help="A model's directory, made by fewshot train; or yoga82 or everyday, which need no training.",
        show_default=False,
    ),
]
RetryFailed = Annotated[bool, option("Run failed trials again.")]


@settings
class Tuning:
    """What is set of the methods that take it (Description.flags), where it is given."""

    lr: Annotated[float | None, RATE] = None
    epochs: Annotated[int | None, EPOCHS] = None
    batch_size: Annotated[int | None, BATCH_SIZE] = None
    image_only: Annotated[
        bool, option(f"Tune the image tower alone, and keep the texts as they are ({taking('image_only')}).")
    ] = False
    pose_map: PoseMap = field(default_factory=dict)


# What a flag sets of a method that takes it (Description.flags), by the flag's name.
_SETTINGS = {"lr": "lr", "epochs": "epochs", "batch_size": "batch_size", "image_only": "towers", "pose_map": "pose_map"}


def of_methods(names: Iterable[str], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By method, whatever its form, the settings of its own that the flags of Tuning in `given` set.

    Raises UsageError for a method that there isn't.
    """
    asked = {flag: given[flag] for flag in _SETTINGS if given.get(flag) not in (None, False, {})}
    asked |= {"image_only": "image"} if "image_only" in asked else {}
    described = [methods.describe(part) for name in names for part in methods.parts(name)]
    return {
        each.name: {_SETTINGS[flag]: value for flag, value in asked.items() if flag in each.flags} for each in described
    }
