"""From settings and a collection to the list of trials, with the classes that have images enough."""

import hashlib
from dataclasses import dataclass, replace

import pandas as pd

from curate.collection import synthetic
from curate.collection.sets import TrainingSet, labelled
from curate.collection.splits import Split, draw, split
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.sweeping import prompts, shortage
from fewshot.sweeping.settings import SweepSettings, options
from fewshot.trials import additions


@dataclass(frozen=True)
class Plan:
    """`images`: all photographs of the image table with the ledger's labels, which alone decide the splits.

    In `settings`, all methods are `settled`: a worker on another machine uses the settings that were resolved here.
    `sets` decide nothing but what is drawn from a pool, and which synthetic images are added to that.
    """

    settings: SweepSettings
    images: pd.DataFrame
    sets: dict[str, TrainingSet]
    classes: tuple[str, ...]
    dropped: tuple[str, ...]
    trials: tuple[Trial, ...]

    def split(self, number: int) -> Split:
        """Split `number`, its pool and test images of this plan's classes only."""
        whole = split(self.images, number, self.settings.splitting)
        return Split(number, self._of_classes(whole.test), self._of_classes(whole.pool))

    def draw(self, parts: Split, trial: Trial) -> pd.DataFrame:
        """The training images of a trial, photographs first; none for a method that does not train."""
        made_of, seed = additions.composition(trial.set), self.settings.splitting.seed
        real = draw(self.pool(parts, trial.set), trial.shots + made_of.more_real, parts.number, seed)
        if not made_of.synthetic:
            return real
        return pd.concat([real, draw(self.eligible(parts, trial), made_of.amount, parts.number, seed)])

    def pool(self, parts: Split, set_: str) -> pd.DataFrame:
        """The photographs that a set may draw."""
        return parts.pool[parts.pool["key"].isin(self.sets[set_].images["key"])]

    def eligible(self, parts: Split, trial: Trial) -> pd.DataFrame:
        """The synthetic images that a trial may draw."""
        drawn = draw(self.pool(parts, trial.set), trial.shots, parts.number, self.settings.splitting.seed)
        added = synthetic.synthetic(self._of_classes(self.sets[trial.set].images))
        return additions.eligible(added, drawn, parts.test)[list(self.images)]

    def _of_classes(self, images: pd.DataFrame) -> pd.DataFrame:
        return images[images["label"].isin(self.classes)]


def asked(settings: SweepSettings) -> tuple[pd.DataFrame, tuple[str, ...], dict[str, TrainingSet]]:
    """The photographs, the classes and the sets that are asked for.

    Raises as `make` for all that their names and their images say, and loads no torch.
    """
    collection = settings.opened()
    images = synthetic.real(labelled(collection))
    if images.empty:
        advice = command_line("curate", "import", "PHOTOS", settings.collection)
        raise FewposeError(f"{settings.collection} has no images yet; {advice}")
    classes = _classes(settings, images)
    sets = {name: additions.training_set(collection, name) for name in settings.grid.sets}
    prompts.check(settings, images["label"])
    return images, classes, sets


def make(settings: SweepSettings) -> Plan:
    """Plan a sweep. Raises UsageError or FewposeError, in one sentence, for what can't be done."""
    images, classes, sets = asked(settings)
    settings = replace(settings, settled={name: settings.resolved(name) for name in settings.grid.methods})
    for name in settings.grid.methods:
        _check_version(name, settings.resolved(name).version)
        methods.build(name, options(settings.method_settings(name))[0])  # raises for wrong settings, before any work
    trials = tuple(_trials(settings))
    if not trials:
        raise UsageError(
            f"{' and '.join(settings.grid.methods)} is trained on nothing, so no added image changes it; "
            "name another method or set"
        )
    kept, dropped = shortage.long_enough(settings, Plan(settings, images, sets, classes, (), ()))
    return Plan(settings, images, sets, kept, dropped, trials)


def _check_version(method: str, resolved: int) -> None:
    """Raises FewposeError where settings that a sweep remembers are of another version of a method than there is."""
    here = methods.describe(method).version
    if resolved not in (0, here):
        raise FewposeError(
            f"the sweep ran version {resolved} of {method}, and here is version {here}, which makes something else of "
            f"the same settings; install the packages that sweep.json names, or run another sweep"
        )


def set_digest(plan: Plan) -> str:
    """16 hex digits over every photograph's content, label, group, source and official split.

    That is all that splits depend on; synthetic images that are added to a collection leave it as it was.
    """
    columns = plan.images[["id", "label", "group", "source", "official_split"]]
    lines = sorted("\0".join(row) for row in columns.itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _classes(settings: SweepSettings, images: pd.DataFrame) -> tuple[str, ...]:
    known = set(images["label"])
    unknown = [name for name in settings.data.classes if name not in known]
    if unknown:
        raise UsageError(f"--classes: the collection has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    chosen = tuple(sorted(set(settings.data.classes) or known))
    if len(chosen) < 2:
        raise UsageError("a classifier needs at least two classes")
    return chosen


def _trials(settings: SweepSettings) -> list[Trial]:
    """Split by split, so that a sweep that is stopped early has compared everything on the splits that it has."""
    return [
        Trial(name, method, shots, number)
        for number in range(settings.grid.splits)
        for method in settings.grid.methods
        for name in settings.grid.sets
        for shots in _shots(settings, name, method)
    ]


def _shots(settings: SweepSettings, set_: str, method: str) -> tuple[int, ...]:
    """The numbers of photographs a class: 0 where nothing is trained, and where synthetic images are alone."""
    made_of = additions.composition(set_)
    if methods.trains(method):
        alone = (0,) if methods.describe(method).alone and not made_of.kind else ()
        return (0,) if made_of.alone else (*alone, *sorted(settings.grid.shots))
    return () if made_of.kind else (0,)  # what would be added changes nothing
