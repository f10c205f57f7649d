"""A sweep's settings, from its directory: to train, or to explain, the classifiers that it measured."""

from pathlib import Path

from curate.foundation.errors import UsageError
from curate.foundation.inside import inside
from curate.sweeps.records import read_sweep
from fewshot.sweeping import prompts
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.widening import resolved_from_json


def settings_of(sweep: Path) -> SweepSettings:
    """The settings of the sweep in `sweep`, with its classes and its whole grid.

    Its methods have the settings that they had, whatever their defaults and data/recipes.yaml are now. Local weights
    (--checkpoint) are not stored in a sweep. Raises FewposeError where there is no sweep, UsageError where
    its collection is gone.
    """
    saved = read_sweep(sweep).settings
    collection = Path(saved["collection"])
    if not inside(collection, "images.parquet").is_file():
        raise UsageError(f"{sweep} is a sweep of {collection}, and no collection is there any more")
    return SweepSettings.of(
        collection,
        sweep,
        sets=tuple(saved["sets"]),
        methods=tuple(saved["methods"]),
        shots=tuple(saved["shots"]) or (1,),
        splits=saved["splits"],
        split=saved["split_kind"],
        test_fraction=saved["test_fraction"],
        seed=saved["seed"],
        classes=tuple(saved["classes"]),
        short=saved["short"],
        model=saved["model"],
        fit=saved["fit"],
        prompts=tuple(saved["prompts"]),
        descriptions=prompts.descriptions_from_json(saved["classes"], saved["texts"]),
        settled=resolved_from_json(saved),
    )
