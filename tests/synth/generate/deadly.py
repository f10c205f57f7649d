"""Workers that die where it hurts. A process that is spawned imports this."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.workers.places import Place
from synth.generate.image_job import ImageJob
from synth.generate.making import ImageWorker, Making, Reply


@dataclass(frozen=True)
class DiesOfOne(Making):
    """Its workers die of the fourth tree."""

    def __call__(self, place: Place) -> ImageWorker:
        return _DiesOfOne(self, place.device)


class _DiesOfOne(ImageWorker):
    def __call__(self, jobs: Sequence[ImageJob]) -> Reply:
        if any((job.label, job.index) == ("tree", 3) for job in jobs):
            os._exit(9)
        return super().__call__(jobs)


@dataclass(frozen=True)
class DiesAtTheEnd(Making):
    """The first of its workers that is asked to finish dies, and has reported nothing that it wrote."""

    def __call__(self, place: Place) -> ImageWorker:
        return _DiesAtTheEnd(self, place.device)


class _DiesAtTheEnd(ImageWorker):
    def __call__(self, jobs: Sequence[ImageJob]) -> Reply:
        told = super().__call__(jobs)
        return told if self._mark.exists() else Reply([], told.images, told.seconds)

    def finish(self) -> Reply:
        told = super().finish()
        try:
            self._mark.touch(exist_ok=False)
        except FileExistsError:
            return told
        os._exit(9)

    @property
    def _mark(self) -> Path:
        return self._collection.root.parent / "died"
