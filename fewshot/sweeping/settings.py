"""What a sweep is asked to do: each option is declared here, once. Plain data: it travels to worker processes."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from curate.collection.splitting import Splitting
from curate.foundation import resources, shared_options
from curate.foundation.errors import UsageError
from curate.foundation.options import Positive, declared, option, settings
from curate.workers.settings import WorkerSettings
from fewshot import methods
from fewshot.methods.description import Description
from fewshot.methods.listed import LISTED, listing

if TYPE_CHECKING:
    from curate.collection.directory import Collection

Augment = Literal["none", "flip", "crop", "flip+crop"]
ClassWeights = Annotated[
    Literal["none", "balanced"],
    option("Weights of images in the loss: none, or balanced (every class weighs the same)."),
]


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        methods.parse(name)
    return names


def _recipe(name: str) -> str:
    if name and name not in (recipes := resources.load("recipes.yaml")):
        raise UsageError(f"--recipe {name}: there are {', '.join(recipes)}")
    return name


def _read(descriptions: Any) -> Any:
    """Those of a file, where its path is given."""
    if isinstance(descriptions, str | Path):
        from fewshot.sweeping import descriptions as file  # it loads yaml, which --help goes without

        return file.read(Path(descriptions).expanduser())
    if not isinstance(descriptions, dict):
        raise ValueError("must be a file (YAML) of LABEL: WORDS")
    return descriptions


@settings
class Grid:
    """The grid: sets x methods x shots x splits."""

    sets: Annotated[
        tuple[str, ...],
        option(
            "Training sets: unfiltered, filtered, each also +synthetic, +rendered, +augmented, +generated, or +real "
            "(as many more photographs, to compare with); and synthetic, rendered, generated alone.",
            min_length=1,
        ),
    ] = ("unfiltered",)
    methods: Annotated[
        tuple[str, ...],
        AfterValidator(_known),
        option(
            f"Methods: {'; '.join(f'{each.form} ({each.help})' for each in LISTED)}. "
            f"{listing(each.name for each in LISTED if each.tuned)} also @0.5 (weights averaged half and half with "
            "those before). With + between, as pose+linear-probe, several answer together. "
            "Installed packages may add others.",
            min_length=1,
        ),
    ] = ("zero-shot", "linear-probe")
    shots: Annotated[
        tuple[Positive, ...], option("Numbers of training images a class.", such_as="43,20,6", min_length=1)
    ] = (43, 20, 6)
    splits: Annotated[int, option("Number of train/test splits.", ge=1)] = 10


@settings
class Added:
    """How many images are added where a set of the grid does not say it."""

    synthetic_per_class: Annotated[
        tuple[Positive, ...],
        option("Numbers of images a class that are added; several make several sets.", such_as="20,50"),
    ] = ()


@settings
class Data:
    """The images that the classifiers learn from and are tested on."""

    classes: Annotated[tuple[str, ...], option("Labels of the classes; all that the collection has if empty.")] = ()
    short: Annotated[
        Literal["error", "all", "drop"],
        option("What is done with a class of too few images: error, all (use what it has), drop (leave it out)."),
    ] = "error"
    fit: shared_options.Fit = "crop"


@settings
class ClipChoice:
    """The CLIP model, and what it calls the classes."""

    model: shared_options.Model = "lite0"
    checkpoint: shared_options.Checkpoint = None
    prompts: Annotated[
        tuple[str, ...],
        option(
            "Sentence with {} for the class, or paper, short, photo, ensemble, posture; several are averaged, and "
            "paper is used if there is none.",
            flag="--prompt",
            repeated=True,
        ),
    ] = ()
    descriptions: Annotated[  # by label: what replaces the class's words
        dict[str, tuple[str, ...]],
        BeforeValidator(_read),
        option(
            "What {} stands for: a file (YAML) of LABEL: WORDS, or of LABEL and a list of wordings.", metavar="<path>"
        ),
    ] = field(default_factory=dict)


@settings
class Training:
    """Training, of every method that it concerns."""

    recipe: Annotated[
        str,
        AfterValidator(_recipe),
        option(
            f"Recipe of data/recipes.yaml for {listing(each.name for each in LISTED if each.recipe)}: paper or lite0; "
            "the one that suits the model if empty."
        ),
    ] = ""
    augment: Annotated[
        Augment | None,
        BeforeValidator(lambda value: value or None),  # "" stands in files that older templates made
        option(
            "Random changes of training images, for every method that trains the image tower: none, flip, crop, "
            "flip+crop; the recipe's unless said."
        ),
    ] = None
    class_weights: ClassWeights = "none"


@settings
class Compute:
    """How it is computed."""

    device: shared_options.Device = "auto"
    deterministic: Annotated[
        bool, option("Compute the same bits each time on the same machine, even if that is slower.")
    ] = False
    cache: shared_options.Cache = None


@settings
class TrialOptions:
    """What a trial has whatever its method (see Task), by default nothing."""

    augment: Annotated[Augment, option("Random changes of training images.")] = "none"
    class_weights: ClassWeights = "none"


OPTIONS = declared(TrialOptions)


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
    """A collection, the directory of the results, and what is wanted of the one and how it is computed.

    `of` makes one from options by name.
    """

    collection: Path
    out: Path
    grid: Grid = field(default_factory=Grid)
    splitting: Splitting = field(default_factory=Splitting)
    data: Data = field(default_factory=Data)
    clip: ClipChoice = field(default_factory=ClipChoice)
    training: Training = field(default_factory=Training)
    compute: Compute = field(default_factory=Compute)
    work: WorkerSettings = field(default_factory=WorkerSettings)
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by method: settings that replace its own
    # By method: what was resolved before, when a sweep was planned or run. What is asked for elsewhere, and what the
    # defaults and recipes are now, changes nothing of that.
    settled: dict[str, Resolved] = field(default_factory=dict)

    @classmethod
    def of(cls, collection: Path, out: Path, **options: Any) -> "SweepSettings":
        """Of options by name, whichever class declares them: `of(here, there, splits=3, model="lite0")`.

        Raises UsageError for values that make no sense.
        """
        return cls(collection, out).replaced(**options)

    def replaced(self, **options: Any) -> "SweepSettings":
        """These settings with other values of options (see `of`) and of fields of this class."""
        changed: dict[str, Any] = {}
        for part, cls in PARTS.items():
            own = {name: options.pop(name) for name in declared(cls) if name in options}
            if own:
                changed[part] = replace(getattr(self, part), **own)
        if unknown := options.keys() - {each.name for each in fields(self)}:
            raise TypeError(f"a sweep has no option {' and no option '.join(sorted(unknown))}")
        return replace(self, **changed, **options)

    def opened(self) -> "Collection":
        """The collection, with its caches where they are asked for. Raises as Collection.open."""
        from curate.collection.directory import Collection  # pandas, which --help goes without

        return Collection.open(self.collection, self.compute.cache)

    def method_settings(self, method: str) -> dict[str, Any]:
        """All settings of a method: see `resolved`."""
        return self.resolved(method).settings

    def resolved(self, method: str) -> Resolved:
        """Defaults, recipe, flags and single settings put together, the later ones over the earlier ones."""
        if method in self.settled:
            return self.settled[method]
        about = methods.describe(method)
        if about.parts:
            return self._together(about)
        training = self.training
        given: dict[str, Any] = {"augment": training.augment}
        if training.class_weights != "none":
            given["class_weights"] = training.class_weights
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

    def _together(self, about: Description) -> Resolved:
        """Of several methods: each with its own settings, and OPTIONS for all."""
        found = [(part, self.resolved(part)) for part in about.parts]
        taken = [options(each.settings) for _, each in found]
        chosen = {name: value for _, of_trial in taken for name, value in of_trial.items()}
        own = [methods.prefixed(part, settings) for (part, _), (settings, _) in zip(found, taken, strict=True)]
        named = (each.recipe for _, each in found if each.recipe)
        return Resolved(
            {name: value for each in own for name, value in each.items()} | chosen | self.recipes.get(about.name, {}),
            next(named, ""),
            about.version,
        )

    def _recipe_name(self) -> str:
        return self.training.recipe or ("lite0" if self.clip.model == "lite0" else "paper")


# The classes that declare the options of a sweep, by the fields of SweepSettings that hold them.
PARTS: dict[str, type] = {
    "grid": Grid,
    "splitting": Splitting,
    "data": Data,
    "clip": ClipChoice,
    "training": Training,
    "compute": Compute,
    "work": WorkerSettings,
}
FILE = (Grid, Added, *list(PARTS.values())[1:])  # those of a file of settings


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
    of_all = {setting: value for setting, value in recipes[name].items() if not isinstance(value, dict)}
    result: dict[str, Any] = of_all | recipes[name].get(base, {})  # the latter: where a method differs
    return result


def options(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A method's settings taken apart: its own, and OPTIONS. Raises UsageError for an option's unknown value."""
    chosen = {name: settings[name] for name in OPTIONS if name in settings}
    for name, value in chosen.items():
        OPTIONS[name].read(value)
    return {name: value for name, value in settings.items() if name not in OPTIONS}, chosen
