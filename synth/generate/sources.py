"""The real images that images are made from: those of a draw, or all there are."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image

from curate.collection import synthetic
from curate.collection.directory import Collection
from curate.collection.sets import NAMES, training_set
from curate.collection.splits import draw, split
from curate.collection.splitting import Splitting
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.options import declared
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image
from synth.generate.image_job import Source

POOL = "pool"
_EVERY = 1 << 30  # more than any class has
_HOW = "say, for example, --from-draw split=0,shots=6 or --from-draw pool"


@dataclass(frozen=True)
class FromDraw:
    """A draw as `fewshot sweep` makes it. shots: None for every real image, whatever the split."""

    shots: int | None = None
    split: int = 0
    set: str = "unfiltered"
    splitting: Splitting = field(default_factory=Splitting)

    @classmethod
    def parse(cls, text: str) -> "FromDraw":
        """Read "pool", or "split=0,shots=6" with, as in `fewshot sweep`, set=filtered, seed=1, test-fraction=0.3 and
        kind=official where the sweep has them. Raises UsageError.
        """
        if text.strip() == POOL:
            return cls()
        told: dict[str, str] = {}
        for part in text.split(","):
            name, given, value = (piece.strip() for piece in part.partition("="))
            if not given or not value or name in told or name not in _WORDS:
                raise UsageError(f"--from-draw {text!r}: {part.strip()!r} is not understood; {_HOW} ({_KNOWN})")
            told[name] = value
        if not {"split", "shots"} <= told.keys():
            raise UsageError(f"--from-draw {text!r} must name a split and its shots; {_HOW}")
        if told.get("set", NAMES[0]) not in NAMES:
            raise UsageError(f"--from-draw {text!r}: there is no set {told['set']!r}; there are {' and '.join(NAMES)}")
        return cls(
            shots=_number(text, "shots", told["shots"], least=1),
            split=_number(text, "split", told["split"], least=0),
            set=told.get("set", cls.set),
            splitting=Splitting(
                **{
                    name: declared(Splitting)[name].read(told[word], f"--from-draw {text!r}: {word}")
                    for word, name in _SPLITTING.items()
                    if word in told
                }
            ),
        )


_SPLITTING = {"seed": "seed", "kind": "split", "test-fraction": "test_fraction"}  # "split" is its number
_WORDS = ("split", "shots", "set", *_SPLITTING)
_KNOWN = f"known are {', '.join(_WORDS)}"


def _number(text: str, name: str, value: str, least: int | None = None) -> int:
    try:
        number = int(value)
    except ValueError:
        raise UsageError(f"--from-draw {text!r}: {name} must be a whole number, not {value!r}") from None
    if least is not None and number < least:
        raise UsageError(f"--from-draw {text!r}: {name} must be at least {least}, not {number}")
    return number


@dataclass(frozen=True)
class Sources:
    """The sources of one class, each content once, in an order in which those of a larger draw come after these.

    sizes: width and height of each upright picture, by content id.
    """

    sources: tuple[Source, ...]
    sizes: dict[str, tuple[int, int]]


def of_classes(collection: Collection, images: pd.DataFrame, how: FromDraw) -> dict[str, Sources]:
    """By label: the real images of a draw. images: the whole image table with the ledger's labels.

    It is the draw that `fewshot sweep` trains on: from the same split of the whole collection, of the same set.
    Raises FewposeError where the set is `filtered` and the images were not checked.
    """
    pool = synthetic.real(images)
    if how.shots is not None:
        pool = split(images, how.split, how.splitting).pool
        pool = pool[pool["key"].isin(training_set(collection, how.set).images["key"])]
    # A draw takes the last of a ranking: the last come first here.
    drawn = draw(pool, how.shots or _EVERY, how.split, how.splitting.seed)[::-1].drop_duplicates(["label", "id"])
    return {str(label): _sources(collection, rows) for label, rows in drawn.groupby("label", sort=True)}


def _sources(collection: Collection, rows: pd.DataFrame) -> Sources:
    return Sources(
        tuple(Source(id, collection.path(file)) for id, file in zip(rows["id"], rows["file"], strict=True)),
        {id: (int(w), int(h)) for id, w, h in zip(rows["id"], rows["width"], rows["height"], strict=True)},
    )


def original(source: Source) -> Image.Image:
    """The real image, upright, RGB. Raises FewposeError where the file is gone, damaged, or another one by now."""
    try:
        return open_image(originals.read_at(source.path, source.id), limits=NO_LIMITS).image
    except Unreadable as error:
        raise FewposeError(f"{source.path}, which images are made from, cannot be read: {error}") from error


def picture(source: Source, width: int, height: int) -> Image.Image:
    """The real image as large as fits into `width` x `height` pixels, in the middle, its edges drawn out to the rest.

    Nothing is cut off: a hand or a foot that is missing makes another pose. Raises FewposeError as `original`.
    """
    return fitted(original(source), width, height)


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """As `picture`, of an RGB image."""
    scale = min(width / image.width, height / image.height)
    size = (min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale))))
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    border = ((top, height - size[1] - top), (left, width - size[0] - left), (0, 0))
    return Image.fromarray(np.pad(pixels, border, mode="edge"))
