"""Making images in one process, on one device: what all engines do, wherever they do it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.foundation.errors import UsageError
from synth.generate.image_job import Generator, Shot
from synth.generate.settings import AUGMENT, MANNEQUIN, WITHOUT_WEIGHTS, Settings
from synth.generate.writing import Done, Writer

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Resources:
    """With what images are made, which changes none of them. Raises UsageError for what makes no sense."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    dtype: str = "auto"  # auto, float32, bfloat16, float16
    batch: int | None = None  # images at once; None: what fits
    compile: bool = False
    workers: int | None = None  # processes; None: one for each GPU, or for each CPU where no model is needed
    engine: str = "local"

    def __post_init__(self) -> None:
        for name in ("batch", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, not {value}")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine must be {' or '.join(ENGINES)}, not {self.engine}")


@dataclass(frozen=True)
class Order:
    """What each worker is told once."""

    root: Path  # of the collection, absolute
    settings: Settings
    digest: str  # of the settings and the weights
    kind: str  # text, or image: made from a real one
    resources: Resources


@dataclass(frozen=True)
class Reply:
    """What a worker says of some shots that it was given."""

    done: list[Done]  # also of earlier ones: files are written while others are made
    batch: int  # how many it likes to be given at once
    images: int = 0  # made this time, and in how many
    seconds: float = 0.0


def load(order: Order, device: str) -> Generator:
    """The generator of an order. Raises UsageError, FewposeError where its model can't be had."""
    settings, resources = order.settings, order.resources
    if settings.model == MANNEQUIN:
        from synth.generate.mannequin import Mannequin

        return Mannequin(settings)
    if settings.model == AUGMENT:
        from synth.generate.augment import Augment

        return Augment(settings)
    from synth.generate import pipeline

    return pipeline.load(
        settings,
        kind=order.kind,
        device=device,
        dtype=resources.dtype,
        batch=resources.batch,
        compile=resources.compile,
    )


def weights(settings: Settings) -> str:
    """Digest of all that the images depend on beside the settings, without loading a model."""
    if settings.model == MANNEQUIN:
        from synth.generate.mannequin import Mannequin

        return Mannequin(settings).weights()
    if settings.model == AUGMENT:
        from synth.generate.augment import Augment

        return Augment(settings).weights()
    from synth.generate import pipeline

    return pipeline.weights(settings)


class Maker:
    """A generator and its writer. A context manager."""

    def __init__(self, order: Order, device: str) -> None:
        self._alone = _slow(order.settings, device)  # the first image, from which the time for all is told
        self._generator = load(order, device)
        facts = {**self._generator.facts(), "settings": order.digest}
        self._writer = Writer(order.root, facts, order.settings.format)

    def __enter__(self) -> "Maker":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.__exit__()

    def ready(self) -> Reply:
        return Reply([], 1 if self._alone else self._generator.batch)

    def make(self, shots: Sequence[Shot]) -> Reply:
        """Make these, and have them written; none at all: wait until everything is written."""
        if not shots:
            return Reply(self._writer.finish(), self._generator.batch)
        began = time.monotonic()
        self._alone = False
        for made in self._generator.make(shots):
            self._writer.write(made)
        return Reply(self._writer.done(), self._generator.batch, len(shots), time.monotonic() - began)


def _slow(settings: Settings, device: str) -> bool:
    return device == "cpu" and settings.model not in WITHOUT_WEIGHTS
