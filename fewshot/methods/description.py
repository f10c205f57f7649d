"""What a method says of itself, beside its settings, which are the fields of its class. Light: `--help` reads it.

All other code reads here what it needs to know of a method, and none compares a method's name.
"""

import re
from dataclasses import dataclass

from curate.foundation.errors import UsageError

# What a method may need beside the frozen features of its images, which it always has.
NEEDS = ("pixels", "activations", "texts", "keypoints")
BETWEEN = "+"  # the names of methods that answer together
_PLAIN = re.compile(r"[a-z]+(-[a-z]+)*")  # what may stand behind it, a number and @0.5, is taken off by its form


@dataclass(frozen=True)
class Numbered:
    """What a number behind a method's name says: the setting `field`, and what it counts ("of the last blocks ...")."""

    field: str
    counts: str


@dataclass(frozen=True)
class Description:
    """Of the method `name`, a class at `where` ("module:Class") that is imported when it is first used.

    help: what it does, in a few words. version: counted up when it computes something else with the same settings.
    needs: of NEEDS. "pixels": it runs the image tower itself. "activations": it uses what goes into the last blocks of
    the frozen one, as many as the number behind its name says (0: into its projection), which is computed once.
    "texts": it knows the classes by their words. "keypoints": it looks at the joints of the surest person.
    trains: it learns from images; one that doesn't has one trial a split. alone: it knows something before any image,
    and has a trial without any, too. tuned: it changes the model itself, and what
    it ends with can be averaged with what it began with (@0.5). cost: of training, an image, in units of a method that
    only uses frozen features. recipe: data/recipes.yaml has settings of it. parts: the names of
    the methods that it consists of, if it does. options: the settings of a trial (fields of
    Task) that change something for it. flags: those of the command line that set a setting of its own (fewshot.flags).
    """

    name: str
    where: str
    help: str
    version: int = 1
    needs: tuple[str, ...] = ()
    trains: bool = True
    alone: bool = False
    tuned: bool = False
    numbered: Numbered | None = None
    cost: float = 1
    recipe: bool = False
    parts: tuple[str, ...] = ()
    options: tuple[str, ...] = ("class_weights",)
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts and not _PLAIN.fullmatch(self.name):
            raise UsageError(f"a method can't be called {self.name!r}; take small letters, with - between words")
        if unknown := [each for each in self.needs if each not in NEEDS]:
            raise UsageError(f"the method {self.name} needs {unknown[0]!r}; there are {', '.join(NEEDS)}")

    @property
    def form(self) -> str:
        """An example of its name: finetune-last2."""
        return f"{self.name}2" if self.numbered else self.name

    def activations(self, number: int, augment: str) -> set[tuple[int, bool]]:
        """Of how many last blocks it needs what goes into them, and whether of the mirrored images.

        None where images are cropped at random: each training image is then new, and test images pass the whole tower.
        """
        if "activations" not in self.needs or "crop" in augment:
            return set()
        return {(number, False)} | ({(number, True)} if augment == "flip" else set())
