"""Measurements of images that several workers take, each with its part of the CPUs."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from curate.checks.measures.measurements import measurements, missing
from curate.collection.directory import Collection
from curate.workers import blocks
from curate.workers.places import Place
from curate.workers.settings import WorkerSettings


def measure_ahead(collection: Collection, images: pd.DataFrame, asked: WorkerSettings) -> None:
    """Have the numbers that `measurements` will look for computed by the workers that are asked for.

    Where no more than one is, or one block is all that is missing, nothing is done: `measurements` has threads. So no
    worker is started again and again for pictures that can't be read. Raises FewposeError as blocks.compute.
    """
    if asked.engine != "ray" and asked.workers < 2:
        return
    lacking = missing(collection, images)
    if len(lacking) > blocks.BLOCK:
        blocks.compute(_Measuring(collection.absolute()), collection, lacking, asked, what="measuring")


@dataclass(frozen=True)
class _Measuring:
    collection: Collection  # absolute

    def __call__(self, place: Place) -> Callable[[pd.DataFrame], None]:
        blocks.quieten()

        def work(images: pd.DataFrame) -> None:
            measurements(self.collection, images, place.threads)  # the process that asked names what can't be read

        return work
