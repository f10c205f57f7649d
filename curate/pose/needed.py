"""Keypoints for whoever needs them: those that `curate pose` left, and what is missing, found now."""

import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.pose import estimating, keypoints
from curate.pose.keypoints import Keypoints
from curate.pose.people import Estimator
from curate.pose.settings import MODELS, PoseSettings
from curate.workers.settings import WorkerSettings


def keypoints_of(collection: Collection, images: pd.DataFrame, asked: WorkerSettings) -> Keypoints:
    """The keypoints of `images` (rows of the image table); those that cannot be read have none.

    What is missing is found by the estimator of those that are there. Where that one cannot be had here, those that
    are there have to do, and a note says so. Raises FewposeError where there are none, and none can be found.
    """
    known = keypoints.read(collection)
    if set(images["id"]) <= known.ids():
        return known
    settings = _settings(known)
    try:
        estimator = settings.load()
    except FewposeError:
        if known.table.empty:
            raise
        estimator = None
    if estimator is None or not known.of(estimator.digest):
        lacking = images["key"][~images["id"].isin(known.ids())]
        again = command_line("curate", "pose", collection.root)
        console.note(
            f"nobody was looked for in {console.count(len(lacking), 'image')}, such as {lacking.iloc[0]}: the others' "
            f"keypoints come from {known.estimator} with other weights or settings; give {again} with those"
        )
        return known
    found = estimating.estimate(collection, images, settings, asked)
    found.note()
    return found.keypoints


def estimator_of(known: Keypoints) -> Estimator:
    """The estimator by which these were found, with its usual weights; the first one where there are none.

    Raises FewposeError where it cannot be had.
    """
    return _settings(known).load()


def _settings(known: Keypoints) -> PoseSettings:
    [model] = [name for name in MODELS if name == known.estimator] or MODELS[:1]
    return PoseSettings(model=model)
