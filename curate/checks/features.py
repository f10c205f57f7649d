"""Image features as the rules look at them. Imported where a rule needs them: it takes seconds to load torch."""

from pathlib import Path

import numpy as np
import pandas as pd

from curate.checks import runner
from curate.collection.directory import Collection
from curate.foundation.cache import CannotWrite
from curate.foundation.errors import FewposeError, UsageError
from curate.models import clip_models, embeddings
from curate.models.clip_models import ClipModel
from curate.models.embedding_workers import embed_ahead
from curate.workers.settings import WorkerSettings


def unit_features(collection: Collection, images: pd.DataFrame, clip: ClipModel) -> np.ndarray:
    """The features (n, d) float32 of images, each of length 1. Raises FewposeError where they cannot be computed."""
    features = embeddings.embed(collection, images, clip)
    result: np.ndarray = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return result


def features_of(
    collection: Collection,
    images: pd.DataFrame,
    model: str | None,
    checkpoint: Path | None,
    device: str,
    asked: WorkerSettings,
) -> tuple[np.ndarray | None, str]:
    """Features of length 1, and the name of their model; or None, and why there are none.

    Raises UsageError for a model or device that makes no sense.
    """
    if model is None:
        return None, runner.NO_MODEL
    try:
        clip = clip_models.load(model, checkpoint=checkpoint, device=device)
        embed_ahead(collection, images, clip, asked, checkpoint=checkpoint, device=device)
        return unit_features(collection, images, clip), clip.name
    except (UsageError, CannotWrite):  # a name that makes no sense, and a full disk, are no model that cannot be had
        raise
    except FewposeError as error:
        return None, str(error)
