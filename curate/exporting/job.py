"""What a format is given: a training set to write below a folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection.directory import Collection
from curate.collection.sets import TrainingSet
from curate.foundation.errors import FewposeError
from curate.pose.keypoints import Keypoints


@dataclass(frozen=True)
class Job:
    """`set` is to be written below `out`."""

    collection: Collection
    set: TrainingSet
    out: Path
    link: bool  # hard links instead of copies
    shard_size: int
    advance: Callable[[int], None]
    people: Keypoints | None  # for formats that have them

    @property
    def images(self) -> pd.DataFrame:
        """Rows of the image table, with the labels that the ledger gives."""
        return self.set.images

    def rows(self, images: pd.DataFrame) -> Iterator[dict[Any, Any]]:
        """The rows of `images`; each counts as done when the next one is asked for."""
        for row in images.to_dict("records"):
            yield row
            self.advance(1)

    def classes(self) -> dict[str, int]:
        """The number of each label."""
        return {label: number for number, label in enumerate(sorted(set(self.images["label"])))}

    def place(self, row: dict[Any, Any], target: Path) -> None:
        """Have an image's bytes at `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        content = self.content(row)
        if self.link:
            os.link(self.collection.path(row["file"]).resolve(), target)
        else:
            target.write_bytes(content)

    def content(self, row: dict[Any, Any]) -> bytes:
        """An image's bytes. Raises FewposeError where they are others than those that the set is of."""
        path = self.collection.path(row["file"])
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["id"]:
            raise FewposeError(f"{path} has changed since it became part of the collection; nothing was exported")
        return content
