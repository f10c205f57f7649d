"""What `fewshot predict` is asked for."""

from typing import Annotated

from curate.foundation.options import option, settings


@settings
class PredictSettings:
    """How pictures and videos are classified. Raises UsageError for what makes no sense."""

    top: Annotated[int, option("Number of classes to name, the likeliest first.", ge=1)] = 3
    threshold: Annotated[
        float | None,
        option("Probability below which it is none of these; the model's own unless said, 0: never.", ge=0, le=1),
    ] = None
    fps: Annotated[float, option("Number of frames to look at in a second of video.", gt=0, le=1000)] = 2.0
    smooth: Annotated[  # see video.smoothed
        float, option("Seconds of video that are averaged (a Gaussian); 0: none.", ge=0)
    ] = 0.5
