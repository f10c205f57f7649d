"""BlazePose (Bazarevsky et al., arXiv 2006.10204) without MediaPipe: its two models, and what goes between them."""

import hashlib

import numpy as np
from PIL import Image

from curate.pose.detector import Detector
from curate.pose.landmarks import LandmarkModel, Landmarks
from curate.pose.people import BODY, Person
from curate.pose.weights import Weights

VERSION = 1  # another one where other joints come out of the same weights
SIDE = 640  # pixels of the longer side that suffice: both models see fewer

LEAST_SCORE = 0.3  # of a detection that is looked at closer
LEAST_PRESENCE = 0.5  # of a person, when it was looked at
_SAME = 0.2  # two whose joints lie closer together on average, in parts of the body's size, are one person


class BlazePose:
    """An Estimator (people.py). Not to be shared between threads."""

    side = SIDE

    def __init__(self, found: Weights, *, most: int = 5, again: bool = False, threads: int = 1) -> None:
        """most: people in an image.  again: look a second time, where the joints of the first pass say.

        Raises UsageError where `found` holds other models, FewposeError where LiteRT is not installed.
        """
        self.name = f"blazepose-{found.kind}"
        said = f"{VERSION} {found.digest} {most} {again} {SIDE} {LEAST_SCORE} {LEAST_PRESENCE} {_SAME}"
        self.digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        self._most, self._again = most, again
        self._detector = Detector(found.detector, found.source, threads)
        self._landmarks = LandmarkModel(found.landmarks, found.source, threads)

    def people(self, image: Image.Image) -> list[Person]:
        """Those in an upright RGB picture, the surest first; coordinates are pixels of `image`."""
        found: list[Person] = []
        for detection in self._detector.detect(image, LEAST_SCORE):
            if len(found) == self._most:
                break
            seen = self._look(image, detection.middle, detection.end)
            if seen is not None and seen.presence >= LEAST_PRESENCE:
                person = Person(detection.score, seen.presence, seen.joints)
                if not any(_same(person, other) for other in found):
                    found.append(person)
        return found

    def _look(self, image: Image.Image, middle: np.ndarray, end: np.ndarray) -> Landmarks | None:
        seen = self._landmarks(image, middle, end)
        if seen is None or not self._again:
            return seen
        closer = self._landmarks(image, seen.middle, seen.end)
        return closer if closer is not None and closer.presence >= seen.presence - 0.05 else seen


def _same(one: Person, other: Person) -> bool:
    """Whether two detections led to one person."""
    size = float(np.hypot(*(one.box[2:] - one.box[:2])))
    apart = np.hypot(*(one.joints[BODY, :2] - other.joints[BODY, :2]).T)
    return bool(apart.mean() < _SAME * size)
