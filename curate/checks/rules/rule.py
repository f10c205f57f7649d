"""What a rule is: a function from a collection to a score for each image, with its defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

from curate.checks.measures.measurements import measurements
from curate.checks.measures.measuring_workers import measure_ahead
from curate.collection.directory import Collection
from curate.collection.findings import Kind
from curate.foundation.cache import CannotWrite
from curate.foundation.errors import FewposeError
from curate.images.signatures import Signatures
from curate.pose.keypoints import Keypoints
from curate.pose.keypoints import read as read_keypoints
from curate.workers.settings import WorkerSettings


class CannotRun(Exception):
    """A rule lacks what it needs. The message says what, and how to get it, as a sentence for people."""


@dataclass(frozen=True)
class Inputs:
    """What rules look at."""

    collection: Collection
    images: pd.DataFrame  # the image table, index 0 to n - 1, labels as the ledger has them
    signatures: Signatures
    # (n, d) float32 in the order of `images`, each of length 1; None where there are none, or no rule needs them
    features: np.ndarray | None
    model: str  # that gave the features; where there are none, why
    workers: int  # threads of this process
    asked: WorkerSettings = field(default=WorkerSettings(workers=1), kw_only=True)  # for measuring the pictures

    def needed_features(self) -> np.ndarray:
        """`features`. Raises CannotRun where there are none."""
        if self.features is None:
            raise CannotRun(f"it needs image features, and there are none: {self.model}")
        return self.features

    def measurements(self) -> pd.DataFrame:
        """Those of the images that can be read, after a column `key`. Raises CannotRun where there are none."""
        measure_ahead(self.collection, self.images, self.asked)
        numbers = measurements(self.collection, self.images, self.workers)
        numbers.insert(0, "key", self.images["key"])
        numbers = numbers.dropna()
        if numbers.empty:
            raise CannotRun("none of the image files can be read; put them back where they were")
        return numbers

    @cached_property
    def keypoints(self) -> Keypoints:
        """Those of `images`, as `keypoints_of` has them."""
        return self.keypoints_of(self.images)

    def keypoints_of(self, images: pd.DataFrame) -> Keypoints:
        """Of these images (rows of the image table) that can be read; what is missing is found now.

        Raises CannotRun where there are none, and no estimator can be had; FewposeError where the table is damaged:
        it may hold what no estimator here can find again.
        """
        from curate.pose import needed  # it loads the estimator's library

        read_keypoints(self.collection)
        try:
            return needed.keypoints_of(self.collection, images, self.asked)
        except CannotWrite:
            raise
        except FewposeError as error:
            raise CannotRun(f"it needs keypoints, and there are none: {error}") from error


_Inputs = TypeVar("_Inputs", bound=Inputs)  # the rules of `synth accept` look at more (synth/accept/candidates.py)


@dataclass(frozen=True)
class Rule(Generic[_Inputs]):
    """What finds images of one kind, and its defaults.

    run: (inputs, parameters) to a frame with the columns key (of the image table), score in [0, 1], and, if it likes,
    detail (a clause for people), other (the id of the image that it is a copy of, or in conflict with) and suggestion
    (a label). Images that it has nothing to say of may be left out. Raises CannotRun.
    """

    name: str  # "near_duplicate": a field of the FiftyOne dataset, too
    title: str  # "near duplicate"
    version: int  # of its results: another number where other scores come out
    kind: Kind
    drops: bool  # whether what it flags is left out of `filtered`, unless the settings say otherwise
    parameters: Mapping[str, float]  # defaults; "threshold": the score from which on an image is flagged
    run: Callable[[_Inputs, Mapping[str, float]], pd.DataFrame]
    needs_features: bool = False  # whether it looks at `features`, which are computed for such rules alone
    formerly: str = ""  # the name of an earlier version's rule that it took the place of, alone or with others
