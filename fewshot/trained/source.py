"""A sweep's settings, from its directory: to train, or to look at, what it measured."""

from pathlib import Path
from typing import Any

import yaml

from curate.collection.splits import Splitting
from curate.foundation import resources
from curate.foundation.errors import FewposeError, UsageError
from fewshot import methods
from fewshot.sweeping import prompts
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials.records import read_sweep


def settings_of(sweep: Path) -> SweepSettings:
    """The settings of the sweep in `sweep`, with its classes and its whole grid.

    Local weights (--checkpoint) are not among what a sweep remembers. Raises UsageError where there is no sweep, or
    where its collection is gone, FewposeError where its methods can't be set as they were.
    """
    told = read_sweep(sweep).settings
    collection = Path(told["collection"])
    if not (collection / "images.parquet").is_file():
        raise UsageError(f"{sweep} is a sweep of {collection}, and no collection is there any more")
    return _with_its_methods(
        told,
        collection=collection,
        out=sweep,
        sets=tuple(told["sets"]),
        methods=tuple(told["methods"]),
        shots=tuple(told["shots"]) or (1,),
        splits=told["splits"],
        splitting=Splitting(seed=told["seed"], kind=told["split_kind"], test_fraction=told["test_fraction"]),
        classes=tuple(told["classes"]),
        short=told["short"],
        model=told["model"],
        fit=told["fit"],
        prompts=tuple(told["prompts"]),
        descriptions=prompts.recalled(told["classes"], told["texts"]),
    )


def _with_its_methods(told: dict[str, Any], **common: Any) -> SweepSettings:
    """With the recipe, among those that ship, that leads to what the sweep says of its methods' settings."""
    own = {methods.parse(name).base: settings for name, settings in told["method_settings"].items()}
    for recipe in yaml.safe_load(resources.path("recipes.yaml").read_text()):
        settings = SweepSettings(**common, recipe=recipe, recipes=own)
        if all(settings.method_settings(name) == each for name, each in told["method_settings"].items()):
            return settings
    raise FewposeError("the settings of this sweep's methods are not those of any recipe; it is of another fewpose")
