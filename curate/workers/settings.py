"""Where work is done: what a person asks for, the same for every command that hands out work."""

from typing import Annotated, Literal

from curate.foundation.options import option, settings


@settings
class WorkerSettings:
    """Who works, and where, which changes no result.

    Raises UsageError for what makes no sense.
    """

    engine: Annotated[
        Literal["auto", "processes", "ray"],
        option(
            "Where work is done: auto and processes are this machine, ray a cluster, which must see the same files "
            "under the same paths."
        ),
    ] = "auto"
    workers: Annotated[int, option("Number of workers; 0: as many as make sense.", ge=0)] = 0
    address: Annotated[
        str, option("Address of the Ray cluster; RAY_ADDRESS, or a Ray of this machine alone, if empty.")
    ] = ""
    gpu_share: Annotated[float, option("Part of a graphics card that each of Ray's workers has.", gt=0, le=1)] = 1.0
