"""torchvision's keypoint R-CNN (Mask R-CNN with a head for COCO's 17 keypoints; He et al., arXiv 1703.06870).

Slower than BlazePose, and it knows no hands and feet; for those who have its weights.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.quiet import quiet
from curate.pose.people import COCO, JOINTS, VALUES, Person

NAME = "keypoint-rcnn"
URL = "https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"  # 237 MB
LEAST_SCORE = 0.3


def found(file: Path | None) -> Path:
    """The file of weights. Raises FewposeError where none was named, UsageError where it is not there."""
    if file is None:
        raise FewposeError(f"{NAME} needs a file of weights: download {URL} (237 MB), and name it by --weights")
    if not file.is_file():
        raise UsageError(f"--weights {file}: no such file")
    return file


class KeypointRCNN:
    """An Estimator (people.py). Joints that COCO has none of are NaN."""

    name = NAME
    side = 1333  # what torchvision scales the longer side to, at most

    def __init__(self, file: Path, *, most: int = 5) -> None:
        """file: a state dict of keypointrcnn_resnet50_fpn. Raises UsageError where it is none of this model's."""
        self._model = _loaded(file)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        self.digest = hashlib.sha256(f"1 {content} {most} {LEAST_SCORE}".encode()).hexdigest()[:16]
        self._most = most

    def people(self, image: Image.Image) -> list[Person]:
        """Those in an upright RGB picture, the surest first; coordinates are pixels of `image`."""
        import torch

        values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            [found] = self._model([values])
        scores = found["scores"].numpy()
        order = [n for n in np.argsort(-scores, kind="stable") if scores[n] >= LEAST_SCORE]
        return [_person(found["keypoints"][n].numpy(), float(scores[n])) for n in order[: self._most]]


def _person(coco: np.ndarray, score: float) -> Person:
    joints = np.full((len(JOINTS), len(VALUES)), np.nan, np.float32)
    joints[list(COCO), :2] = coco[:, :2]
    joints[list(COCO), 2] = 0
    joints[list(COCO), 3:] = coco[:, 2:]
    return Person(score, score, joints)


@lru_cache(maxsize=1)  # threads may share it
def _loaded(file: Path) -> Any:
    import torch
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    try:
        with quiet():
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever a foreign file makes torch raise
        raise _not_its(file) from error
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise _not_its(file)
    return model.eval()


def _not_its(file: Path) -> UsageError:
    return UsageError(
        f"--weights {file} does not hold weights of torchvision's keypointrcnn_resnet50_fpn; they are at {URL}"
    )
