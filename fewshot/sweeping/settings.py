"""What a sweep is asked to do. Plain data: it travels to worker processes and into sweep.json."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from curate.collection.splits import Splitting
from curate.foundation import resources
from curate.foundation.errors import UsageError
from curate.workers.settings import WorkerSettings
from fewshot import methods
from fewshot.training.augment import KINDS

SHORT = ("error", "all", "drop")
# Of a trial, whatever its method (see Task), with the values that there are.
OPTIONS = {"augment": KINDS, "class_weights": ("none", "balanced")}


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
    descriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by label: what replaces the class's words
    recipe: str = ""  # of finetune and finetune-last; "" is the model's own
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by method: settings that replace its own
    augment: str = ""  # of every method that tunes the model; "" is the recipe's
    class_weights: str = "none"  # or "balanced"
    deterministic: bool = False
    workers: int = 0  # 0: one a card where there are several, a cluster's places, else one
    engine: str = "auto"  # processes of this machine, if there is to be more than one; or ray
    address: str = ""  # of the Ray cluster; "" is RAY_ADDRESS, or a Ray of this machine alone
    gpu_share: float = 1.0  # of a card, for each of Ray's workers

    def __post_init__(self) -> None:
        if self.short not in SHORT:
            raise UsageError(f"--short {self.short}: there are {', '.join(SHORT)}")
        if self.fit not in ("crop", "pad"):
            raise UsageError(f"--fit {self.fit}: there are crop and pad")
        if not self.shots or min(self.shots) < 1:
            raise UsageError("--shots: give numbers of training images a class, such as 43,20,6")
        if self.splits < 1:
            raise UsageError("--splits must be at least 1")
        _ = self.asked_workers  # checks them
        if not self.sets or not self.methods:
            raise UsageError("--sets and --methods must name at least one each")

    @property
    def asked_workers(self) -> WorkerSettings:
        return WorkerSettings(self.engine, self.workers, self.address, self.gpu_share)

    def method_settings(self, method: str) -> dict[str, Any]:
        """The settings of a method that differ from its defaults, recipe and flags put together.

        Among them may be those of a trial whatever its method (OPTIONS).
        """
        named = methods.parse(method)
        chosen = self._recipe(named.base) if named.base in ("finetune", "finetune-last") else {}
        if self.augment and named.base in methods.TUNED:
            chosen = chosen | {"augment": self.augment}
        if self.class_weights != "none" and methods.trains(method):
            chosen = chosen | {"class_weights": self.class_weights}
        return chosen | self.recipes.get(named.base, {})

    def _recipe(self, method: str) -> dict[str, Any]:
        recipes = yaml.safe_load(resources.path("recipes.yaml").read_text())
        name = self.recipe or ("lite0" if self.model == "lite0" else "paper")
        if name not in recipes:
            raise UsageError(f"--recipe {name}: there are {', '.join(recipes)}")
        own = recipes[name].pop("finetune-last", {})  # where it differs from finetune's
        return recipes[name] | (own if method == "finetune-last" else {})


def options(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A method's settings taken apart: its own, and OPTIONS. Raises UsageError for an option's unknown value."""
    chosen = {name: settings[name] for name in OPTIONS if name in settings}
    for name, value in chosen.items():
        if value not in OPTIONS[name]:
            raise UsageError(f"{name} must be {' or '.join(OPTIONS[name])}, not {value!r}")
    return {name: value for name, value in settings.items() if name not in OPTIONS}, chosen
