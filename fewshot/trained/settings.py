"""What `fewshot train` is asked for."""

from typing import TYPE_CHECKING, Annotated

from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings
from fewshot.sweeping.settings import SweepSettings

if TYPE_CHECKING:
    from curate.sweeps.records import Trial


@settings
class TrainSettings:
    """`sweep`: a grid of one set, one method and one number of shots, which says what is trained and how.

    `weights`: the digest that the image tower's starting weights must have, where a sweep says so. Raises UsageError
    for what makes no sense.
    """

    sweep: SweepSettings
    shots: Annotated[int, option("Number of images a class, drawn for --split; 0: all that there are.", ge=0)] = 0
    split: Annotated[int, option("Number of the split, with --shots.", ge=0)] = 0
    folds: Annotated[  # a temperature and a threshold are chosen by them
        int,
        option("Number of parts held back in turn, to calibrate and to measure by; 0: none, which is faster.", ge=0),
    ] = 5
    unknown: Annotated[
        float, option("Share of held-back images that may be called none of the classes; 0: never.", ge=0, lt=1)
    ] = 0.05
    weights: str = ""

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise UsageError("--folds must be 2 or more, or 0 for none")

    @property
    def trial(self) -> "Trial":
        from curate.sweeps.records import Trial

        (set_,), (method,) = self.sweep.grid.sets, self.sweep.grid.methods
        return Trial(set_, method, self.shots, self.split)
