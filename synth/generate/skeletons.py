"""Skeletons of a collection's photographs, by content id: those of a file that people made, or those that are found."""

from collections.abc import Collection as Ids

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation.cache import CannotWrite
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.pose.needed import keypoints_of
from curate.pose.people import COCO, Person
from curate.workers.settings import WorkerSettings
from synth.generate import control
from synth.rendering.keypoints import OUTSIDE

LEAST_INSIDE = 0.9  # the part of the joints within the picture: else a limb would be made up
_LEAST_PRESENCE = 0.5  # of a joint: below, the estimator thinks that it is out of the picture


def of_photographs(
    collection: Collection, images: pd.DataFrame, ids: Ids[str], asked: WorkerSettings
) -> tuple[dict[str, np.ndarray], str]:
    """Content id -> (17, 3) pixels and visibility, of those of `ids` whose skeleton is known; and what the others lack,
    "no ...".

    The collection's keypoints.jsonl says them all where it is there. Otherwise they are those of `curate pose`, of the
    photographs with exactly one clear person; what is missing is found now.  images: the image table.

    Raises UsageError as `control.stored`, FewposeError where there are no keypoints and none can be found.
    """
    if collection.file(control.FILE).exists():
        return control.stored(collection), f"no line in {control.FILE} of"
    wanted = images[images["id"].isin(set(ids))]
    return _found(collection, wanted, asked), "no photograph with exactly one clear person in"


def _found(collection: Collection, images: pd.DataFrame, asked: WorkerSettings) -> dict[str, np.ndarray]:
    try:
        keypoints = keypoints_of(collection, images, asked)
    except CannotWrite:
        raise
    except FewposeError as error:
        own = command_line("curate", "pose", collection.root)
        raise FewposeError(f"--control keypoints needs keypoints as {own} finds them: {error}") from error
    found = {}
    for id, width, height in images.drop_duplicates("id")[["id", "width", "height"]].itertuples(index=False):
        person = keypoints.alone(id)
        if person is not None and person.inside(width, height) >= LEAST_INSIDE:
            found[id] = _skeleton(person, width, height)
    return found


def _skeleton(person: Person, width: int, height: int) -> np.ndarray:
    """(17, 3) in pixels, and visibility: OUTSIDE for joints that are not in the picture."""
    points = person.coco()
    place, presence = points[:, :2], person.joints[list(COCO), 4]
    within = ((place >= 0) & (place < (width, height))).all(1) & ~(presence < _LEAST_PRESENCE)
    points[~within] = (0, 0, OUTSIDE)
    return points
