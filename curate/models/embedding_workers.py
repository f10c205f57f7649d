"""Features of images that several workers compute: each with the model on a card, or with its part of the CPUs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curate.collection.directory import Collection
from curate.models import embeddings
from curate.models.clip_models import ClipModel
from curate.models.same_model import SameModel
from curate.workers import blocks
from curate.workers.opening import in_this_process
from curate.workers.places import CPUS_OF_A_MODEL, Needs, Place
from curate.workers.settings import WorkerSettings


def embed_ahead(
    collection: Collection,
    images: pd.DataFrame,
    clip: ClipModel,
    asked: WorkerSettings,
    *,
    fit: str = "crop",
    checkpoint: Path | None = None,
    device: str = "auto",
) -> None:
    """Have the features that `embeddings.embed` will look for computed by the workers that are asked for.

    Where one suffices, nothing is done: `embed` is that one.
    checkpoint, device: that `clip` was loaded with. Raises FewposeError as blocks.compute.
    """
    needs = Needs(device, CPUS_OF_A_MODEL)
    if in_this_process(asked, needs):
        return
    missing = embeddings.missing(collection, images, clip, fit=fit)
    if not missing.empty:
        make = _Embedding(collection.absolute(), fit, SameModel.as_(clip, checkpoint))
        blocks.compute(make, collection, missing, asked, needs=needs, what=f"embedding with {clip.name}")


@dataclass(frozen=True)
class _Embedding:
    collection: Collection  # absolute
    fit: str
    model: SameModel

    def __call__(self, place: Place) -> Callable[[pd.DataFrame], None]:
        import torch

        blocks.quieten()
        torch.set_num_threads(place.threads)
        clip = self.model.load(place.device)

        def work(images: pd.DataFrame) -> None:
            embeddings.embed(self.collection, images, clip, fit=self.fit)

        return work
