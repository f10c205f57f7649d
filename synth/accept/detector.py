"""Where a picture's people have their joints: torchvision's keypoint R-CNN, with weights from a file of the user's."""

from pathlib import Path
from typing import Any

import numpy as np

from curate.foundation.errors import UsageError
from curate.models import checkpoints

NAME = "keypointrcnn_resnet50_fpn"
URL = "https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"  # 237 MB


def require(file: Path | None) -> None:
    """Raises UsageError where a file of weights was named and is not there."""
    if file is not None and not file.is_file():
        raise UsageError(f"--keypoints-weights {file}: no such file")


class Detector:
    """Mask R-CNN with a head for COCO's 17 keypoints (He et al., arXiv 1703.06870)."""

    def __init__(self, file: Path, device: str) -> None:
        """file: a state dict. Raises UsageError where it is none of this model's."""
        import torch
        from torchvision.models.detection import keypointrcnn_resnet50_fpn

        model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        try:
            checkpoints.fill(model, file)
        except checkpoints.NotItsWeights as error:
            raise UsageError(
                f"--keypoints-weights {file} does not hold weights of torchvision's {NAME}; they are at {URL}"
            ) from error
        self._device = torch.device(device)
        self._model: Any = model.eval().to(self._device)

    def people(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of a picture (height, width, 3) uint8: keypoints (m, 17, 3) in its pixels, and how sure it is of each person
        (m,), the surest first.
        """
        import torch

        values = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            [found] = self._model([values])
        sure = found["scores"].float().cpu().numpy()
        order = np.argsort(-sure, kind="stable")
        return found["keypoints"].float().cpu().numpy()[order], sure[order]
