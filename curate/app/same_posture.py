"""Images of the same posture as a selected one: the nearest by keypoints, where FiftyOne's own search goes by looks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.pose import keypoints, similar

NEAREST = 30  # images: a screenful


def nearest(collection: Collection, dataset: Any, selected: Sequence[str], number: int = NEAREST) -> list[str]:
    """The sample ids of the selected image and of the `number` whose surest person is nearest to its own in posture,
    the nearest first; fewer where fewer have a person. Mirrored, a posture is the same.

    Raises FewposeError, with a sentence for the person who selected, where not one image is selected, nobody is in it,
    or nobody was looked for; and where the keypoints are damaged.
    """
    samples, keys, contents = dataset.values(["id", "key", "content_id"])
    places = [place for place, sample in enumerate(samples) if sample in selected]
    if len(places) != 1:
        raise FewposeError("Select one image in the grid first: the others are compared with its posture")
    [chosen] = places
    known = keypoints.read(collection)
    _check(collection, known, keys[chosen], contents[chosen])
    others = np.delete(np.arange(len(samples)), chosen)
    joints = known.joints(contents)
    found = others[similar.nearest(joints[chosen], joints[others], number)]
    return [samples[place] for place in (chosen, *found)]


def _check(collection: Collection, known: keypoints.Keypoints, key: str, content_id: str) -> None:
    if content_id not in known.ids():
        where = "the images" if known.table.empty else key
        raise FewposeError(f"Nobody was looked for in {where} yet: {command_line('curate', 'pose', collection.root)}")
    if not known.people(content_id):
        raise FewposeError(f"Nobody was found in {key}, so there is no posture to compare with")
