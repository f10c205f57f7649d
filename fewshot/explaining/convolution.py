"""Relevance in convolutional towers: gradient times activation at the stage with a pixel for 16 of the picture's.

At each place of the last stage of that resolution, the positive part of the sum over channels of the score's gradient
times the activation: HiResCAM (Draelos and Carin 2020, arXiv 2011.08891), computed by captum. Grad-CAM (Selvaraju et
al. 2017, arXiv 1610.02391) takes the gradient's mean over all places, which makes sense at the last stage alone, where
there are 7 by 7 of them; benchmarks/explain.py measures both.
"""

from typing import Any

import open_clip
from torch import Tensor, nn

from curate.foundation.errors import FewposeError
from fewshot.explaining.score import Score
from fewshot.training.low_rank import shared_copy

REDUCTION = 16  # pixels of the picture along each side of a place
KNOWN = ("EfficientNet", "ResNet", "ConvNeXt", "FastVit")  # classes of timm's trunks


def stage(tower: Any) -> str | None:
    """The name of the module of a tower (open_clip's `visual`) whose output is used; None if its kind isn't known."""
    if isinstance(tower, open_clip.modified_resnet.ModifiedResNet):
        return "layer3"
    trunk: Any = getattr(tower, "trunk", None)
    kind = type(trunk).__name__
    if kind not in KNOWN:
        return None
    stages = trunk.feature_info if isinstance(trunk.feature_info, list) else trunk.feature_info.info
    last = next(each for each in reversed(stages) if each["reduction"] == REDUCTION)
    # Before a norm over a place's channels only their direction counts: the products would add up to nothing.
    module = "stages.3.downsample.0" if kind == "ConvNeXt" else last["module"]
    return f"trunk.{module}"


def elementwise_relevance(tower: Any, module: str, score: Score, images: Tensor) -> Tensor:
    """Normalised images (n, 3, s, s) -> (n, rows, columns), how much each place contributes to `score`, 0 or more.

    `module`: as `stage` names it.
    """
    try:
        from captum.attr import LayerGradientXActivation
    except ImportError as error:
        raise FewposeError("maps of convolutional models need a package: pip install 'fewpose[explain]'") from error
    model = Scored(shared_copy(tower), score)
    method = LayerGradientXActivation(model, model.tower.get_submodule(module))
    products = method.attribute(images.detach().clone().requires_grad_())
    result: Tensor = products.sum(1).clamp(min=0).detach()
    return result


class Scored(nn.Module):
    """From images to their score, as captum takes a model."""

    def __init__(self, tower: nn.Module, score: Score) -> None:
        super().__init__()
        self.tower, self.score = tower, score

    def forward(self, images: Tensor) -> Tensor:
        return self.score(self.tower(images))
