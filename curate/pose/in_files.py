"""The people in a picture's file, and the joints of the surest."""

from collections.abc import Sequence

import numpy as np

from curate.images.decoding import NO_LIMITS, open_image
from curate.pose.people import JOINTS, VALUES, Estimator, Person, scaled


def people_in(estimator: Estimator, content: bytes) -> Sequence[Person]:
    """Those in a picture's file; coordinates are pixels of the whole upright image. Raises Unreadable."""
    side = estimator.side
    decoded = open_image(content, limits=NO_LIMITS, draft=(side, side))
    image = decoded.image
    return [
        scaled(person, decoded.width / image.width, decoded.height / image.height) for person in estimator.people(image)
    ]


def surest(people: Sequence[Person]) -> np.ndarray:
    """The joints (33, 5) of the first; NaN where there is nobody."""
    return people[0].joints if people else np.full((len(JOINTS), len(VALUES)), np.nan, np.float32)
