"""Where work is done: what a person asks for, the same for every command that hands out work."""

from dataclasses import dataclass

from curate.foundation.errors import UsageError

ENGINES = ("auto", "processes", "ray")


@dataclass(frozen=True)
class WorkerSettings:
    """Changes no result. Raises UsageError for what makes no sense."""

    engine: str = "auto"  # processes of this machine, if there is to be more than one; or ray
    workers: int = 0  # 0: as many as make sense
    address: str = ""  # of the Ray cluster; "" is RAY_ADDRESS, or a Ray of this machine alone
    gpu_share: float = 1.0  # of a card, for each of Ray's workers

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: there are {', '.join(ENGINES)}")
        if self.workers < 0:
            raise UsageError(f"--workers {self.workers}: a number of workers, or 0 for as many as make sense")
        if not 0 < self.gpu_share <= 1:
            raise UsageError(f"--gpu-share {self.gpu_share:g}: a part of a card, more than 0 and at most 1")
