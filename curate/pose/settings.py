"""What finds the people: the options of `curate pose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from curate.foundation.options import option, settings

if TYPE_CHECKING:
    from curate.pose.people import Estimator
    from curate.pose.weights import Weights

Model = Literal["blazepose-full", "blazepose-heavy", "blazepose-lite", "keypoint-rcnn"]
MODELS: tuple[Model, ...] = get_args(Model)  # the default first


@settings
class PoseSettings:
    """The estimator. Raises UsageError for what makes no sense."""

    model: Annotated[Model, option("Model that finds people and their joints.")] = "blazepose-full"
    weights: Annotated[
        Path | None,
        option("Weights of the model: a .task bundle, or a folder with its two .tflite files; keypoint-rcnn's .pth."),
    ] = None
    people: Annotated[int, option("Number of people in an image that are looked for.", ge=1, le=20)] = 5
    second_pass: Annotated[bool, option("Look at each person twice: more exact, and half as fast again.")] = False

    def found(self) -> "Weights | Path":
        """Raises UsageError and FewposeError as weights.find and keypoint_rcnn.found."""
        from curate.pose import keypoint_rcnn, weights

        if self.model == keypoint_rcnn.NAME:
            return keypoint_rcnn.found(self.weights)
        return weights.find(self.model.removeprefix("blazepose-"), self.weights)

    def load(self) -> "Estimator":
        """Raises as `found`, and FewposeError where LiteRT is not installed."""
        from curate.pose.blazepose import BlazePose
        from curate.pose.keypoint_rcnn import KeypointRCNN

        found = self.found()
        if isinstance(found, Path):
            return KeypointRCNN(found, most=self.people)
        return BlazePose(found, most=self.people, again=self.second_pass)
