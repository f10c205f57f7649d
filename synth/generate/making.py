"""Making images in one process, on one device: what all engines do, wherever they do it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from curate.collection.directory import Collection
from curate.workers.places import Place
from synth.generate import writing
from synth.generate.image_job import Generator, ImageJob
from synth.generate.settings import AUGMENT, MANNEQUIN, Resources, Settings
from synth.generate.writing import Became, Done, Writer


@dataclass(frozen=True)
class Making:
    """Makes workers that make images. Plain data, which is sent to where they are."""

    collection: Collection  # absolute
    settings: Settings
    digest: str  # of the settings and the weights
    kind: str  # text, or image: made from a real one
    resources: Resources

    def __call__(self, place: Place) -> "ImageWorker":
        return ImageWorker(self, place.device)


@dataclass(frozen=True)
class Reply:
    """What a worker returns for some jobs."""

    done: list[Done]  # also of earlier ones: files are written while others are made
    images: int = 0  # made this time, and in how many
    seconds: float = 0.0


def load(making: Making, device: str) -> Generator:
    """The generator. Raises UsageError, FewposeError where its model can't be had."""
    settings, resources = making.settings, making.resources
    if settings.model == MANNEQUIN:
        from synth.generate.mannequin import Mannequin

        return Mannequin(settings)
    if settings.model == AUGMENT:
        from synth.generate.augment import Augment

        return Augment(settings)
    from synth.generate import pipeline

    return pipeline.load(
        settings,
        kind=making.kind,
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


class ImageWorker:
    """A worker: a generator and its writer."""

    def __init__(self, making: Making, device: str) -> None:
        self._collection = making.collection
        self._generator = load(making, device)
        facts = {**self._generator.facts(), "settings": making.digest}
        self._writer = Writer(making.collection, facts, making.settings.format)

    def __call__(self, jobs: Sequence[ImageJob]) -> Reply:
        """Make these, and have them written, which goes on while the next are made.

        What a worker that was lost with these jobs had written of them stays.
        """
        began = time.monotonic()
        written = [Done(job.key, Became.MADE) for job in jobs if writing.is_ours(self._collection, job)]
        before = {done.key for done in written}
        missing = [job for job in jobs if job.key not in before]
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
