"""What finds the people: the options of `curate pose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from curate.foundation.options import option, settings

if TYPE_CHECKING:
    from curate.pose.people import Estimator


@settings
class PoseSettings:
    """The estimator. Raises UsageError for what makes no sense."""

    model: Annotated[
        Literal["blazepose-full", "blazepose-heavy", "blazepose-lite"],
        option("Model that finds people and their joints."),
    ] = "blazepose-full"
    weights: Annotated[
        Path | None,
        option("Weights of the model: a .task bundle, or a folder with its two .tflite files."),
    ] = None
    people: Annotated[int, option("Number of people in an image that are looked for.", ge=1, le=20)] = 5
    second_pass: Annotated[bool, option("Look at each person twice: more exact, and half as fast again.")] = False

    def load(self) -> "Estimator":
        """Raises UsageError and FewposeError as blazepose.load."""
        from curate.pose import blazepose

        kind = self.model.removeprefix("blazepose-")
        return blazepose.load(kind, self.weights, most=self.people, again=self.second_pass)
