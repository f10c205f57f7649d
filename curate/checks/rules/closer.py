"""A closer look at two pictures of one scene, where nobody was found in one of them at least: who is small is not seen
in the whole picture, but where the two differ.
"""

from functools import cached_property

import numpy as np
from PIL import Image

from curate.collection import groups
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image
from curate.images.signatures import Signatures
from curate.pose import needed, posture
from curate.pose.keypoints import SURE, Keypoints
from curate.pose.people import Estimator

# What is looked at, beside where the pictures differ: people stand out of it. The first at which somebody is alone: a
# detector that hardly knows somebody may miss them at one size.
_LARGER = (2.0, 1.5, 3.0)
_MOST = 0.5  # of the picture's side, that differs: beyond, it was seen as large in the whole picture
_LEAST_SIDE = 256  # pixels of what is shown to the estimator
_SAME = 0.97  # correlation where they differ most, from which on it is one picture, recompressed or resized


class CloserLook:
    """Of pairs of pictures by content id. files: by content id, as in the image table."""

    def __init__(
        self, collection: Collection, signatures: Signatures, keypoints: Keypoints, files: dict[str, str]
    ) -> None:
        self._collection, self._signatures, self._keypoints, self._files = collection, signatures, keypoints, files
        self._looked_at = keypoints.ids()

    def apart(self, id: str, other: str) -> float:
        """How much the postures of who is alone where the pictures differ are apart (posture.distance); 0 where they
        differ nowhere in particular, or nobody is found there in one of them.
        """
        counts = [self._count(each) for each in (id, other)]
        if 0 not in counts or max(counts) > 1 or any(each not in self._signatures for each in (id, other)):
            return 0.0
        pair = self._signatures.thumbnails([id, other])[np.array([0, 1])]
        found = groups.differing(pair[0], pair[1])
        if found is None or max(found.box[2:] - found.box[:2]) > _MOST:
            return 0.0
        if groups.compare_within(pair[None], found.box[None])[0] >= _SAME:
            return 0.0
        joints = [self._alone(each, box) for each, box in ((id, found.box), (other, found.other_box))]
        known = [each for each in joints if each is not None]
        return float(posture.distance(*(each[None] for each in known))[0]) if len(known) == len(joints) else 0.0

    def _count(self, id: str) -> int:
        """The people that were found in a picture; several where nobody was looked for."""
        return len(self._keypoints.people(id)) if id in self._looked_at else 2

    def _alone(self, id: str, box: np.ndarray) -> np.ndarray | None:
        """The joints (33, 2) of who is alone around a box (4,), in parts of the sides, of a picture."""
        estimator = self._estimator
        if estimator is None:
            return None
        try:
            picture = open_image(originals.read(self._collection, self._files[id], id), limits=NO_LIMITS).image
        except Unreadable:
            return None
        for larger in _LARGER:
            sure = [person for person in estimator.people(_around(picture, box, larger)) if person.score >= SURE]
            if len(sure) == 1:
                return sure[0].joints[:, :2]
        return None

    @cached_property
    def _estimator(self) -> Estimator | None:
        """The one whose keypoints there are; None where it cannot be had."""
        try:
            return needed.estimator_of(self._keypoints)
        except FewposeError:
            return None


def _around(picture: Image.Image, box: np.ndarray, larger: float) -> Image.Image:
    """A square around a box (4,), in parts of the picture's sides, so many times as large; enlarged where it has few
    pixels, black beyond the picture's edge.
    """
    left, top, right, bottom = box * np.tile(picture.size, 2)
    half = larger * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    cut = picture.convert("RGB").crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    side = max(cut.width, _LEAST_SIDE)
    return cut.resize((side, side), Image.Resampling.BICUBIC)
