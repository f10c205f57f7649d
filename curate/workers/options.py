"""The flags of WorkerSettings, for every command that hands out work."""

from enum import StrEnum
from typing import Annotated

import typer


class EngineName(StrEnum):
    """WorkerSettings.engine."""

    AUTO = "auto"
    PROCESSES = "processes"
    RAY = "ray"


Engine = Annotated[
    EngineName,
    typer.Option(
        help="Who works: auto and processes are this machine, ray a cluster, which must see the same files under the "
        "same paths."
    ),
]
Workers = Annotated[int, typer.Option(help="How many work at once; 0: as many as make sense.")]
Address = Annotated[
    str, typer.Option(help="Of the Ray cluster; RAY_ADDRESS, or a Ray of this machine alone, if empty.")
]
GpuShare = Annotated[float, typer.Option(help="The part of a graphics card that each of Ray's workers has.")]
