"""From settings and a collection to the list of trials, with what each class can give."""

import hashlib
from dataclasses import dataclass

import pandas as pd

from curate.collection import Collection
from curate.errors import FewposeError, UsageError
from curate.sets import TrainingSet, labelled, training_set
from curate.splits import Split, draw, split
from fewshot import methods, prompts
from fewshot.records import Trial
from fewshot.settings import SweepSettings


@dataclass(frozen=True)
class Plan:
    """`images`: the whole table with the ledger's labels, which alone decides the splits.

    `sets` may only change what is drawn from a pool.
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
        """The training images of a trial; none for a method that does not train."""
        keys = self.sets[trial.set].images["key"]
        pool = parts.pool[parts.pool["key"].isin(keys)]
        return draw(pool, trial.shots, parts.number, self.settings.splitting.seed)

    def _of_classes(self, images: pd.DataFrame) -> pd.DataFrame:
        return images[images["label"].isin(self.classes)]


def make(settings: SweepSettings) -> Plan:
    """Plan a sweep. Raises UsageError or FewposeError, in one sentence, for what can't be done."""
    collection = Collection.open(settings.collection)
    images = labelled(collection)
    if images.empty:
        raise FewposeError(f"{settings.collection} has no images yet; curate import PHOTOS {settings.collection}")
    classes = _classes(settings, images)
    sets = {name: training_set(collection, name) for name in settings.sets}
    prompts.templates(settings.prompts)
    for name in settings.methods:
        methods.build(name, settings.method_settings(name))  # wrong settings are said before any work
    kept, dropped = _long_enough(settings, Plan(settings, images, sets, classes, (), ()))
    return Plan(settings, images, sets, kept, dropped, tuple(_trials(settings)))


def set_digest(plan: Plan) -> str:
    """16 hex digits over every image's content, label, group, source and official split: all that splits depend on."""
    columns = plan.images[["id", "label", "group", "source", "official_split"]]
    lines = sorted("\0".join(row) for row in columns.itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _classes(settings: SweepSettings, images: pd.DataFrame) -> tuple[str, ...]:
    known = set(images["label"])
    unknown = [name for name in settings.classes if name not in known]
    if unknown:
        raise UsageError(f"--classes: the collection has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    chosen = tuple(sorted(set(settings.classes) or known))
    if len(chosen) < 2:
        raise UsageError("a classifier needs at least two classes")
    return chosen


def _long_enough(settings: SweepSettings, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes to use and those left out, by `short`: judged over all sets and splits, so that every N agrees."""
    if not any(methods.trains(name) for name in settings.methods):
        return plan.classes, ()
    wanted, least = max(settings.shots), dict.fromkeys(plan.classes, 10**9)
    tested = dict.fromkeys(plan.classes, 10**9)
    for number in range(settings.splits):
        parts = plan.split(number)
        for name in plan.sets:
            counts = plan.draw(parts, Trial(name, "", wanted, number))["label"].value_counts()
            least = {label: min(fewest, counts.get(label, 0)) for label, fewest in least.items()}
        counts = parts.test["label"].value_counts()
        tested = {label: min(fewest, counts.get(label, 0)) for label, fewest in tested.items()}
    # A class without a training image, or never tested, says nothing whatever was asked for.
    empty = [label for label in plan.classes if least[label] == 0 or tested[label] == 0]
    short = [label for label in plan.classes if least[label] < wanted]
    left_out = sorted(set(short if settings.short == "drop" else ()) | set(empty))
    if settings.short == "error" and (short or empty):
        raise UsageError(_too_short(wanted, least, short) if short else _untested(empty))
    kept = tuple(label for label in plan.classes if label not in left_out)
    if len(kept) < 2:
        raise FewposeError(f"fewer than two classes have {wanted} training images in every split; lower --shots")
    return kept, tuple(left_out)


def _too_short(wanted: int, least: dict[str, int], short: list[str]) -> str:
    worst = sorted(short, key=lambda label: least[label])
    named = ", ".join(f"{label} ({least[label]})" for label in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""
    return (
        f"{wanted} training images a class are asked for, but a split leaves fewer to {named}{more}; "
        "lower --shots, or say --short all (use what there is) or --short drop (leave those classes out)"
    )


def _untested(labels: list[str]) -> str:
    return (
        f"a class of one picture (or of its copies) can't be tested, as {', '.join(labels)}; "
        "add pictures, or say --short drop (leave such classes out)"
    )


def _trials(settings: SweepSettings) -> list[Trial]:
    """Split by split, so that a sweep that is stopped early has compared everything on the splits that it has."""
    return [
        Trial(name, method, shots, number)
        for number in range(settings.splits)
        for method in settings.methods
        for name in settings.sets
        for shots in (sorted(settings.shots) if methods.trains(method) else (0,))
    ]
