"""What a trained model looks at: pixels of a picture, joints of the surest person in it, or both."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from curate.foundation.errors import UsageError
from curate.images.decoding import open_image
from curate.pose.in_files import people_in, surest
from curate.pose.settings import Model, PoseSettings
from fewshot.trained.model import TrainedModel

if TYPE_CHECKING:
    from curate.pose.people import Estimator


@dataclass(frozen=True)
class Seen:
    """Of one picture what its model looks at: `pixels` (size, size, 3) uint8, `joints` (33, 5) float32; else None."""

    pixels: np.ndarray | None
    joints: np.ndarray | None


class Looking:
    """Of pictures what `model` looks at, from any thread.

    Raises UsageError where the model learned from another estimator's keypoints than can be found here, FewposeError
    where none can.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self._own = threading.local()  # an estimator is not to be shared between threads
        if model.needs_joints:
            self._estimator()

    def of_file(self, content: bytes) -> Seen:
        """Of a picture's file. Raises Unreadable."""
        pixels = joints = None
        if self.model.needs_pixels:
            transform = self.model.about.transform
            pixels = transform.apply(open_image(content, draft=transform.draft_size()).image)
        if self.model.needs_joints:
            joints = surest(people_in(self._estimator(), content))
        return Seen(pixels, joints)

    def of_image(self, image: Image.Image) -> Seen:
        """Of an upright RGB picture."""
        pixels = self.model.about.transform.apply(image) if self.model.needs_pixels else None
        joints = surest(self._estimator().people(image)) if self.model.needs_joints else None
        return Seen(pixels, joints)

    def probabilities(self, seen: Sequence[Seen]) -> np.ndarray:
        """(n, classes), as TrainedModel.probabilities."""
        pixels = [each.pixels for each in seen if each.pixels is not None]
        joints = [each.joints for each in seen if each.joints is not None]
        return self.model.probabilities(np.stack(pixels) if pixels else None, np.stack(joints) if joints else None)

    def _estimator(self) -> "Estimator":
        if not hasattr(self._own, "estimator"):
            self._own.estimator = estimator_of(self.model.about.keypoints)
        estimator: Estimator = self._own.estimator
        return estimator


def estimator_of(wanted: dict[str, str]) -> "Estimator":
    """The one by whose joints a model learned, as About.keypoints names it. Raises as Looking."""
    estimator = settings_of(wanted).load()
    if estimator.digest != wanted["digest"]:
        raise UsageError(
            f"this model learned from keypoints of {wanted['estimator']} with other weights or settings (digest "
            f"{wanted['digest']}, here {estimator.digest}); train it again here, or install the fewpose and the "
            "weights that it was trained with"
        )
    return estimator


def settings_of(wanted: dict[str, str]) -> PoseSettings:
    """Those of the estimator that About.keypoints names. Raises UsageError for one that is not known here."""
    names = [name for name in get_args(Model) if name == wanted["estimator"]]
    if not names:
        raise UsageError(f"this model needs keypoints of {wanted['estimator']}, which this fewpose does not know")
    return PoseSettings(model=names[0])
