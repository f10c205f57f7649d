"""What a sweep is asked to do. Plain data: it travels to worker processes and into sweep.json."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

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
class Resolved:
    """What a method is run with: all of its `settings`, its own and OPTIONS, given or default.

    `recipe`: the name of the one in data/recipes.yaml that they came from, "" for a method that takes none. `version`:
    of the method; 0 where it isn't known.
    """

    settings: dict[str, Any]
    recipe: str = ""
    version: int = 0

    def fields(self) -> dict[str, Any]:
        """Of a Record."""
        return {"settings": self.settings, "recipe": self.recipe, "method_version": self.version}


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
    recipe: str = ""  # of the methods that take one; "" is the model's own
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by method: settings that replace its own
    # By method: what was resolved before, when a sweep was planned or run. What is asked for elsewhere, and what the
    # defaults and recipes are now, changes nothing of that.
    settled: dict[str, Resolved] = field(default_factory=dict)
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
        return WorkerSettings(cast(Any, self.engine), self.workers, self.address, self.gpu_share)

    def method_settings(self, method: str) -> dict[str, Any]:
        """All settings of a method: see `resolved`."""
        return self.resolved(method).settings

    def resolved(self, method: str) -> Resolved:
        """Defaults, recipe, flags and single settings put together, the later ones over the earlier ones."""
        if method in self.settled:
            return self.settled[method]
        about = methods.describe(method)
        given = {"augment": self.augment}
        if self.class_weights != "none":
            given["class_weights"] = self.class_weights
        recipe = self._recipe_name() if about.recipe else ""
        return Resolved(
            hashable(
                unchosen(method)
                | (_of_recipe(recipe, about.name) if recipe else {})
                | {name: value for name, value in given.items() if value and name in about.options}
                | self.recipes.get(about.name, {})
            ),
            recipe,
            about.version,
        )

    def _recipe_name(self) -> str:
        return self.recipe or ("lite0" if self.model == "lite0" else "paper")


def unchosen(method: str) -> dict[str, Any]:
    """All settings of a method where nothing is asked for: its own defaults, and no OPTIONS."""
    return methods.defaults(method) | dict.fromkeys(methods.describe(method).options, "none")


def hashable(settings: dict[str, Any]) -> dict[str, Any]:
    """With tuples for the lists that JSON and YAML have."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives them back: the reverse of `hashable`."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _of_recipe(name: str, base: str) -> dict[str, Any]:
    recipes = resources.load("recipes.yaml")
    if name not in recipes:
        raise UsageError(f"--recipe {name}: there are {', '.join(recipes)}")
    of_all = {setting: value for setting, value in recipes[name].items() if not isinstance(value, dict)}
    return of_all | recipes[name].get(base, {})  # the latter: where a method differs


def options(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A method's settings taken apart: its own, and OPTIONS. Raises UsageError for an option's unknown value."""
    chosen = {name: settings[name] for name in OPTIONS if name in settings}
    for name, value in chosen.items():
        if value not in OPTIONS[name]:
            raise UsageError(f"{name} must be {' or '.join(OPTIONS[name])}, not {value!r}")
    return {name: value for name, value in settings.items() if name not in OPTIONS}, chosen
