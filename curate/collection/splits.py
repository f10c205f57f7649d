"""Splits and draws, from content alone.

Everything is decided by one number per image: blake2b(seed, split, class, content id). Within a class the groups
(copies of one picture) are ranked by it; the first `test_fraction` of them are the split's test images. Training
images are drawn from the other end of the same ranking, so that a draw of 6 lies within the draw of 20, and an
image that joins or leaves the collection moves at most the one group of its class at the border of the test set.
There is no random state, and neither file names nor the order of rows play a part.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.collection import synthetic
from curate.collection.splitting import Splitting
from curate.foundation.errors import UsageError


@dataclass(frozen=True)
class Split:
    """One split: `test` and `pool` are rows of the image table; no group has images in both."""

    number: int
    test: pd.DataFrame
    pool: pd.DataFrame

    @property
    def digest(self) -> str:
        """16 hex digits over the ids and labels of the test images."""
        return _digest(self.test["id"] + " " + self.test["label"])


def split(images: pd.DataFrame, number: int, how: Splitting) -> Split:
    """Split the image table. Always give the whole collection: which set is trained on must not move the test images.

    Raises UsageError where `how` asks for an official split that the table lacks.
    """
    images = synthetic.real(images)
    test = _official_test(images) if how.split == "official" else _ranked_test(images, number, how)
    # With an official split, a copy of a test picture may lie in the training part: it leaves the pool.
    held_back = images["group"].isin(images.loc[test, "group"])
    in_pool = ~held_back & (images["official_split"].ne("test") if how.split == "official" else True)
    return Split(number, images[test], images[in_pool])


def draw(pool: pd.DataFrame, shots: int, number: int, seed: int) -> pd.DataFrame:
    """`shots` training images of each class from a split's pool, or all of a class that has fewer."""
    ranked = pool.assign(rank=_ranks(seed, number, pool["label"], pool["id"]))
    ranked = ranked.sort_values(["label", "rank", "id", "key"], kind="stable")
    return pool.loc[ranked.groupby("label", sort=False).tail(shots).index]


def draw_digest(images: pd.DataFrame) -> str:
    """Hex digits over the images of a draw, content ids with their labels, in no order."""
    return _digest(images["id"] + " " + images["label"])


def _ranked_test(images: pd.DataFrame, number: int, how: Splitting) -> np.ndarray:
    # A group belongs to the class of its smallest id: of wrong labels among copies, one must decide.
    groups = images.sort_values(["id", "label"]).drop_duplicates("group")[["group", "label"]]
    groups = groups.assign(rank=_ranks(how.seed, number, groups["label"], groups["group"]))
    groups = groups.sort_values(["label", "rank", "group"])
    place = groups.groupby("label").cumcount()
    size = groups.groupby("label")["group"].transform("size")
    # At least one group to test on, and at least one to learn from.
    wanted = (size * how.test_fraction).round().clip(lower=1).clip(upper=size - 1)
    return images["group"].isin(groups.loc[place < wanted, "group"]).to_numpy()


def _official_test(images: pd.DataFrame) -> np.ndarray:
    test = images["official_split"].eq("test").to_numpy()
    if not test.any() or not images["official_split"].eq("train").any():
        raise UsageError("--split official: this collection has no official split; leave it out for random splits")
    return test


def _ranks(seed: int, number: int, labels: Iterable[str], ids: Iterable[str]) -> list[int]:
    return [_rank(seed, number, label, image) for label, image in zip(labels, ids, strict=True)]


def _rank(seed: int, number: int, label: str, image: str) -> int:
    text = "\0".join((str(seed), str(number), label, image))  # "\0" is in no label: no two texts are confused
    # 63 bits, so that the numbers fit a signed column.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _digest(lines: pd.Series) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def trial_seed(seed: int, trial: str) -> int:
    """The seed of a trial's own randomness (order, augmentation), from its place in the grid."""
    return _rank(seed, 0, "trial", trial)
