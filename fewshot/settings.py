"""What a sweep is asked to do. Plain data: it travels to worker processes and into sweep.json."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from curate import resources
from curate.errors import UsageError
from curate.splits import Splitting

SHORT = ("error", "all", "drop")


@dataclass(frozen=True)
class SweepSettings:
    """The grid is sets x methods x shots x splits; everything else holds for all of it."""

    collection: Path
    out: Path
    sets: tuple[str, ...] = ("unfiltered",)
    methods: tuple[str, ...] = ("zero-shot", "linear-probe")
    shots: tuple[int, ...] = (43, 20, 6)
    splits: int = 10
    splitting: Splitting = field(default_factory=Splitting)
    classes: tuple[str, ...] = ()  # all that the collection has
    short: str = "error"  # a class with too few images: error, all (use what it has), drop (leave it out)
    model: str = "lite0"
    checkpoint: Path | None = None
    device: str = "auto"
    fit: str = "crop"
    prompts: tuple[str, ...] = ()
    recipe: str = ""  # of fine-tuning; "" is the model's own
    finetune: dict[str, Any] = field(default_factory=dict)  # fields that replace the recipe's
    workers: int = 1

    def __post_init__(self) -> None:
        if self.short not in SHORT:
            raise UsageError(f"--short {self.short}: there are {', '.join(SHORT)}")
        if self.fit not in ("crop", "pad"):
            raise UsageError(f"--fit {self.fit}: there are crop and pad")
        if not self.shots or min(self.shots) < 1:
            raise UsageError("--shots: give numbers of training images a class, such as 43,20,6")
        if self.splits < 1 or self.workers < 1:
            raise UsageError("--splits and --workers must be at least 1")
        if not self.sets or not self.methods:
            raise UsageError("--sets and --methods must name at least one each")

    def method_settings(self, method: str) -> dict[str, Any]:
        """The settings of a method that differ from its defaults, recipe and flags put together."""
        if method != "finetune":
            return {}
        recipes = yaml.safe_load(resources.path("recipes.yaml").read_text())
        name = self.recipe or ("lite0" if self.model == "lite0" else "paper")
        if name not in recipes:
            raise UsageError(f"--recipe {name}: there are {', '.join(recipes)}")
        return recipes[name] | self.finetune
