"""A sweep's settings, from its directory: to train, or to look at, what it measured."""

from pathlib import Path

from curate.collection.splits import Splitting
from curate.foundation.errors import UsageError
from curate.sweeps.records import read_sweep
from fewshot.sweeping import prompts
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.widening import resolved_from_json


def settings_of(sweep: Path) -> SweepSettings:
    """The settings of the sweep in `sweep`, with its classes and its whole grid.

    Its methods are settled as they were, whatever their defaults and data/recipes.yaml say now. Local weights
    (--checkpoint) are not among what a sweep remembers. Raises FewposeError where there is no sweep, UsageError where
    its collection is gone.
    """
    told = read_sweep(sweep).settings
    collection = Path(told["collection"])
    if not (collection / "images.parquet").is_file():
        raise UsageError(f"{sweep} is a sweep of {collection}, and no collection is there any more")
    return SweepSettings(
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
        descriptions=prompts.descriptions_from_json(told["classes"], told["texts"]),
        settled=resolved_from_json(told),
    )
