"""Making images in one process, on one device: what all engines do, wherever they do it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curate.foundation.errors import UsageError
from curate.workers.places import Place
from curate.workers.settings import WorkerSettings
from synth.generate import writing
from synth.generate.image_job import Generator, Shot
from synth.generate.settings import AUGMENT, MANNEQUIN, Settings
from synth.generate.writing import Became, Done, Writer


@dataclass(frozen=True)
class Resources:
    """With what images are made, which changes none of them. Raises UsageError for what makes no sense."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    dtype: str = "auto"  # auto, float32, bfloat16, float16
    batch: int | None = None  # images at once; None: what fits
    compile: bool = False
    workers: WorkerSettings = field(default_factory=WorkerSettings)

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"--batch must be at least 1, not {self.batch}")


@dataclass(frozen=True)
class Making:
    """Makes workers that make images. Plain data: it travels to them."""

    root: Path  # of the collection, absolute
    settings: Settings
    digest: str  # of the settings and the weights
    kind: str  # text, or image: made from a real one
    resources: Resources

    def __call__(self, place: Place) -> "Maker":
        return Maker(self, place.device)


@dataclass(frozen=True)
class Reply:
    """What a worker says of some shots that it was given."""

    done: list[Done]  # also of earlier ones: files are written while others are made
    images: int = 0  # made this time, and in how many
    seconds: float = 0.0


def load(order: Making, device: str) -> Generator:
    """The generator. Raises UsageError, FewposeError where its model can't be had."""
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
    """A worker: a generator and its writer."""

    def __init__(self, order: Making, device: str) -> None:
        self._root = order.root
        self._generator = load(order, device)
        facts = {**self._generator.facts(), "settings": order.digest}
        self._writer = Writer(order.root, facts, order.settings.format)

    def __call__(self, shots: Sequence[Shot]) -> Reply:
        """Make these, and have them written, which goes on while the next are made.

        What a worker that was lost with these shots had written of them stays.
        """
        began = time.monotonic()
        written = [Done(shot.key, Became.MADE) for shot in shots if writing.is_ours(self._root, shot)]
        before = {done.key for done in written}
        missing = [shot for shot in shots if shot.key not in before]
        begin = 0
        while begin < len(missing):
            batch = missing[begin : begin + self._generator.batch]
            begin += len(batch)
            for made in self._generator.make(batch):
                self._writer.write(made)
        return Reply([*written, *self._writer.done()], len(missing), time.monotonic() - began)

    def finish(self) -> Reply:
        """Wait until everything is written."""
        return Reply(self._writer.finish())

    def close(self) -> None:
        self._writer.__exit__()
