"""Sets of a sweep that add images to a training set: filtered+synthetic20, filtered+real20; and synthetic20, alone.

What is added is only ever trained on: splits, test images and the draws of photographs are what they are without it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from curate.collection import sets, synthetic
from curate.collection.directory import Collection
from curate.collection.sets import TrainingSet
from curate.foundation.errors import UsageError

REAL = "real"  # as many more photographs, in the order in which they are drawn: what synthetic ones are compared with
KINDS = (synthetic.SOURCE, *synthetic.KINDS, REAL)
ALONE = (
    synthetic.SOURCE,
    "rendered",
    "generated",
)  # augmented ones are made from the photographs that would be missing

_NAME = re.compile(rf"(?:(?P<base>[^+]+)\+)?(?P<kind>{'|'.join(KINDS)})(?P<amount>[1-9][0-9]*)?")


@dataclass(frozen=True)
class Composition:
    """`amount` images a class of `kind` are added to what is drawn from the training set `base`.

    base "": nothing is drawn, the synthetic images are alone. kind "": nothing is added. amount 0: not said.
    """

    base: str
    kind: str = ""
    amount: int = 0

    @property
    def alone(self) -> bool:
        return not self.base

    @property
    def synthetic(self) -> bool:
        """Whether synthetic images are added."""
        return self.kind not in ("", REAL)

    @property
    def more_real(self) -> int:
        """Photographs a class that are drawn beyond a trial's shots."""
        return self.amount if self.kind == REAL else 0


def composition(name: str) -> Composition:
    """What a set's name says. A name that adds nothing is a base, known or not."""
    found = _NAME.fullmatch(name)
    if not found:
        return Composition(name)
    return Composition(found["base"] or "", found["kind"], int(found["amount"] or 0))


def expanded(names: Iterable[str], amounts: Iterable[int]) -> tuple[str, ...]:
    """The sets that `names` ask for, filtered+synthetic being one for each amount. Raises UsageError as `checked`."""
    return tuple(dict.fromkeys(each for name in names for each in _expanded(name, tuple(amounts))))


def _expanded(name: str, amounts: tuple[int, ...]) -> Iterator[str]:
    made_of = composition(name)
    if amounts and min(amounts) < 1:
        raise UsageError("--synthetic-per-class: give numbers of images a class, such as 20,50")
    several = amounts if made_of.kind and not made_of.amount else ()
    for each in [f"{name}{amount}" for amount in several] or [name]:
        checked(each)
        yield each


def checked(name: str) -> Composition:
    """As `composition`, of a set that there is. Raises UsageError for another, and where an amount is missing."""
    made_of = composition(name)
    if made_of.base not in ("", *sets.NAMES) or (made_of.alone and made_of.kind not in (*ALONE, "augmented")):
        raise UsageError(
            f"there is no training set {name!r}; there are {' and '.join(sets.NAMES)}, either with "
            f"+{', +'.join(KINDS[:-1])} or +{REAL} (as filtered+synthetic20), and {', '.join(ALONE)} alone"
        )
    if made_of.alone and made_of.kind not in ALONE:
        raise UsageError(
            f"--sets {name}: augmented images are made from photographs, and there is none in a set of theirs alone; "
            f"say filtered+{name}"
        )
    if made_of.kind and not made_of.amount:
        raise UsageError(f"--sets {name}: how many a class? Say {name}20, or --synthetic-per-class 20,50 for several")
    return made_of


def training_set(collection: Collection, name: str) -> TrainingSet:
    """What trials on the set `name` may draw from: photographs of its base, and the synthetic images of its kind.

    `images` are rows of the image table with two columns more, `made_from` and `posed_by`: content ids of the
    photographs that a synthetic image was made from, or took its pose from; "" for none.
    Raises UsageError for an unknown name; FewposeError where images were not checked, or synthetic ones not accepted.
    """
    made_of = checked(name)
    parts = [sets.training_set(collection, made_of.base).images] if made_of.base else []
    if made_of.synthetic:
        parts.append(_accepted(collection, made_of.kind))
    images = pd.concat(parts)
    origins = {"made_from": synthetic.made_from(images), "posed_by": synthetic.posed_by(images)}
    for fact, sources in origins.items():
        images[fact] = pd.Series([sources.get(id, "") for id in images["id"]], index=images.index, dtype="str")
    return TrainingSet(name, images, sets.digest(images))


def _accepted(collection: Collection, kind: str) -> pd.DataFrame:
    images = sets.accepted(collection).images
    return images if kind == synthetic.SOURCE else images[synthetic.kind(images) == kind]


def eligible(added: pd.DataFrame, drawn: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Of the synthetic images `added`, those that may join the photographs `drawn` in a split with the images `test`.

    None that belongs to a tested picture. One that was made from a photograph, or shows a photograph's pose, joins only
    if that photograph is drawn, under its label: else the trial would learn from a photograph that it was not given.
    """
    own = {"", *(drawn["label"] + "\0" + drawn["id"])}
    allowed = ~added["group"].isin(test["group"])
    for fact in ("made_from", "posed_by"):
        allowed &= (added["label"] + "\0" + added[fact]).where(added[fact] != "", "").isin(own)
    return added[allowed]
