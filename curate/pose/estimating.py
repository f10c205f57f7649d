"""People found in the images of a collection: only what is new is decoded, by threads here or by other workers.

What was found is first kept in a cache, in shards, so that an interruption loses one at most; `keypoints.parquet` is
written from it when all is there, and the cache is emptied.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.foundation import console
from curate.foundation.cache import RowCache
from curate.images import originals
from curate.images.decoding import Unreadable
from curate.pose import keypoints
from curate.pose.in_files import people_in
from curate.pose.keypoints import Keypoints
from curate.pose.people import Estimator
from curate.pose.settings import PoseSettings
from curate.workers import blocks
from curate.workers.places import Place
from curate.workers.settings import WorkerSettings

SHARD = 32  # images: a second's work, and what an interruption can lose
BLOCK = 128  # images that a worker is handed; fewer are found here before a worker has started


@dataclass(frozen=True)
class Estimated:
    """The keypoints of a collection, and what became of the images that were asked for."""

    keypoints: Keypoints
    new: int  # images that were looked at now
    unreadable: list[str]  # "KEY: why"; these have no row

    def note(self) -> None:
        """Name what cannot be read on the terminal."""
        if self.unreadable:
            images = console.count(len(self.unreadable), "image")
            console.note(f"{images} cannot be read, such as {self.unreadable[0]}: nobody was looked for there")


def estimate(collection: Collection, images: pd.DataFrame, settings: PoseSettings, asked: WorkerSettings) -> Estimated:
    """Find the people in `images` (rows of the image table), and write the collection's keypoints.

    Raises UsageError and FewposeError as PoseSettings.load and blocks.compute.
    """
    estimators = _Estimators(settings, [settings.load()])
    estimator = estimators.idle[0]
    known = keypoints.read(collection)
    cache = RowCache(_folder(collection, estimator))
    have = known.knows(estimator.digest)
    lacking = _lacking(images, cache, have)
    if (asked.engine == "ray" or asked.workers > 1) and len(lacking) > BLOCK:
        make = _Estimating(collection.absolute(), settings)
        blocks.compute(make, collection, lacking, asked, what="finding people", block=BLOCK)
        cache = RowCache(cache.folder)
    unreadable = _look(collection, _lacking(images, cache, have), estimators, cache, os.cpu_count() or 1)
    return Estimated(_written(collection, known, cache, estimator), len(lacking) - len(unreadable), unreadable)


def _folder(collection: Collection, estimator: Estimator) -> Path:
    return collection.cache("keypoints", estimator.digest)


def _lacking(images: pd.DataFrame, cache: RowCache, have: set[str]) -> pd.DataFrame:
    wanted = images[~images["id"].isin(have)].drop_duplicates("id")
    return wanted[wanted["id"].isin(cache.missing(wanted["id"]))]


@dataclass(frozen=True)
class _Estimators:
    """As many as threads use at a time: one is not to be shared between threads, and takes 0.1 s to load."""

    settings: PoseSettings
    idle: list[Estimator]

    @contextmanager
    def one(self) -> Iterator[Estimator]:
        """An estimator that nobody else has meanwhile."""
        try:
            estimator = self.idle.pop()
        except IndexError:
            estimator = self.settings.load()
        try:
            yield estimator
        finally:
            self.idle.append(estimator)


@dataclass(frozen=True)
class _Estimating:
    collection: Collection  # absolute
    settings: PoseSettings

    def __call__(self, place: Place) -> Callable[[pd.DataFrame], None]:
        blocks.quieten()
        estimators = _Estimators(self.settings, [self.settings.load()])
        folder = _folder(self.collection, estimators.idle[0])

        def work(images: pd.DataFrame) -> None:
            # Whoever asked names what cannot be read.
            _look(self.collection, images, estimators, RowCache(folder), place.threads)

        return work


def _look(
    collection: Collection, images: pd.DataFrame, estimators: _Estimators, cache: RowCache, threads: int
) -> list[str]:
    """Look at images into the cache. Returns those that cannot be read, as "KEY: why"."""

    def look(key: str, content_id: str, file: str) -> np.ndarray | str:
        try:
            with estimators.one() as estimator:
                found = people_in(estimator, originals.read(collection, file, content_id))
            return keypoints.packed(found, estimators.settings.people)
        except Unreadable as problem:
            return f"{key}: {problem}"

    unreadable: list[str] = []
    apart: list[str] = []  # ids of rows that are still in small shards
    with console.progress("finding people", len(images)) as advance, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(images), SHARD):
            part = images.iloc[start : start + SHARD]
            found: dict[str, np.ndarray] = {}
            for content_id, said in zip(part["id"], pool.map(look, part["key"], part["id"], part["file"]), strict=True):
                if isinstance(said, str):
                    unreadable.append(said)
                else:
                    found[content_id] = said
                advance(1)
            cache.add(list(found), np.array(list(found.values()), np.float32))
            apart += found
            if len(apart) >= caching.SHARD or start + SHARD >= len(images):
                cache.merge(apart)
                apart = []
    return unreadable


def _written(collection: Collection, known: Keypoints, cache: RowCache, estimator: Estimator) -> Keypoints:
    """All that is known of the collection's images now, in its table; the cache is emptied."""
    images = collection.images().drop_duplicates("id")
    kept = known.table[(known.table["digest"] == estimator.digest) & known.table["id"].isin(images["id"])]
    new = images[np.array([one in cache for one in images["id"]], bool) & ~images["id"].isin(kept["id"])]
    if new.empty and len(kept) == len(known.table):
        return known
    added = keypoints.table_of(new, cache.take(new["id"]), estimator) if len(new) else kept.iloc[:0]
    found = keypoints.write(collection, pd.concat([kept, added]))
    shutil.rmtree(cache.folder, ignore_errors=True)
    return found
