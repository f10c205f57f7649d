"""How a collection is split: what is asked for (splits.py does it)."""

from typing import Annotated, Literal

from curate.foundation.options import option, settings


@settings
class Splitting:
    """How training and test images are told apart.

    Raises UsageError for what makes no sense.
    """

    split: Annotated[
        Literal["random", "official"],
        option("How images are split: random (by content), or official (the collection's own split)."),
    ] = "random"
    test_fraction: Annotated[
        float, option("Share of each class's images that is held back in every split.", gt=0, lt=1)
    ] = 0.2
    seed: Annotated[int, option("Seed: another one, another family of splits and draws.")] = 0
