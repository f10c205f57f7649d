"""BlazePose (Bazarevsky et al., arXiv 2006.10204) without MediaPipe: its two models, and what goes between them."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from curate.pose.detector import Detection, Detector
from curate.pose.landmarks import LandmarkModel, Landmarks
from curate.pose.people import BODY, Person
from curate.pose.weights import Weights

VERSION = 3  # another one where other joints come out of the same weights
SIDE = 640  # pixels of the longer side that suffice: both models see fewer

LEAST_SCORE = 0.3  # of a detection that is looked at closer
LEAST_SCORE_BESIDE = 0.5  # of one in what is left of the picture beside somebody who was found
UNSURE = 0.8  # of a second one: below, what is left of the picture is looked at, where they are larger
LEAST_PRESENCE = 0.5  # of a person, when it was looked at
_ROOM = 0.4  # parts of the picture's width or height
_SAME = 0.2  # two whose joints lie closer together on average, in parts of the body's size, are one person


class BlazePose:
    """An Estimator (people.py). Not to be shared between threads."""

    side = SIDE

    def __init__(self, found: Weights, *, most: int = 5, again: bool = False, threads: int = 1) -> None:
        """most: people in an image.  again: look a second time, where the joints of the first pass say.

        Raises UsageError where `found` holds other models, FewposeError where LiteRT is not installed.
        """
        self.name = f"blazepose-{found.kind}"
        limits = f"{SIDE} {LEAST_SCORE} {LEAST_SCORE_BESIDE} {UNSURE} {LEAST_PRESENCE} {_ROOM} {_SAME}"
        said = f"{VERSION} {found.digest} {most} {again} {limits}"
        self.digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        self._most, self._again = most, again
        self._detector = Detector(found.detector, found.source, threads)
        self._landmarks = LandmarkModel(found.landmarks, found.source, threads)

    def people(self, image: Image.Image) -> list[Person]:
        """Those in an upright RGB picture: first the surest in all of it, then those beside; in pixels of `image`."""
        whole = self._detector.detect(image, LEAST_SCORE)
        found = self._looked_at(image, whole[:1], [])
        unsure = all(each.score < UNSURE for each in whole[1:])
        if found and unsure and self._most > 1:
            found = self._looked_at(image, self._beside(image, found[0]), found)
        return self._looked_at(image, whole[1:], found)

    def _beside(self, image: Image.Image, person: Person) -> list[Detection]:
        """Others, in what is left of the picture on the sides of a person.

        The detector sees a picture at 224 x 224: of two people beside each other it often misses one.
        """
        found = []
        for left, top, right, bottom in _rest(person, image):
            detections = self._detector.detect(image.crop((left, top, right, bottom)), LEAST_SCORE_BESIDE)
            found += [each.moved(left, top) for each in detections]
        return sorted(found, key=lambda each: -each.score)

    def _looked_at(self, image: Image.Image, detections: Sequence[Detection], found: list[Person]) -> list[Person]:
        """`found`, and the others who are at the places of these detections."""
        found = list(found)
        for detection in detections:
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


def _rest(person: Person, image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """The parts of a picture on the sides of a person, where they are large: left, top, right, bottom in pixels."""
    left, top, right, bottom = person.box
    width, height = image.size
    if left >= _ROOM * width:
        yield 0, 0, int(left), height
    if width - right >= _ROOM * width:
        yield int(right), 0, width, height
    if top >= _ROOM * height:
        yield 0, 0, width, int(top)
    if height - bottom >= _ROOM * height:
        yield 0, int(bottom), width, height


def _same(one: Person, other: Person) -> bool:
    """Whether two detections led to one person."""
    size = float(np.hypot(*(one.box[2:] - one.box[:2])))
    apart = np.hypot(*(one.joints[BODY, :2] - other.joints[BODY, :2]).T)
    return bool(apart.mean() < _SAME * size)
