"""What the App makes of features: a plot of them all, and an index to search by image and by text."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.app import fiftyone_library
from curate.collection.directory import Collection

SEARCH = "text"  # the brain key of the index
_TEXT_MODEL = "fewpose-clip"  # curate/app/zoo/manifest.json


@dataclass(frozen=True)
class Features:
    """values: (n, d) in the order of the image table.  model, checkpoint: whose text tower searches; "" for none."""

    values: np.ndarray
    model: str = ""
    checkpoint: str = ""


def embedded(collection: Collection, images: pd.DataFrame, model: str, checkpoint: Path | None = None) -> Features:
    """The features of `images` by a model's name, from the cache where they are there, each of length 1.

    Raises FewposeError where the model can't be had or there are no images.
    """
    from curate.models import clip_models, embeddings

    values = embeddings.embed(collection, images, clip_models.load(model, checkpoint=checkpoint))
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return Features(unit, model, str(checkpoint.absolute()) if checkpoint else "")


def update(dataset: Any, images: pd.DataFrame, features: Features) -> None:
    """Make the runs pca (and umap, where umap-learn is installed) and text of a dataset, unless they are there."""
    samples, keys = dataset.values(["id", "key"])
    names = [name for name in ("pca", "umap") if name == "pca" or find_spec("umap")]
    state = _digest(samples, features, names)
    said = dict(dataset.info["fewpose"])
    if said.get("features") == state and all(dataset.has_brain_run(name) for name in (*names, SEARCH)):
        return
    place = pd.Series(np.arange(len(images)), index=images["key"])
    values = np.ascontiguousarray(features.values[place[keys].to_numpy()], dtype=np.float32)
    for name in ("pca", "umap", SEARCH):
        if dataset.has_brain_run(name):
            dataset.delete_brain_run(name)
    for name in names:
        _visualise(dataset, name, values)
    _make_searchable(dataset, values, features)
    dataset.info["fewpose"] = said | {"features": state, "model": features.model, "checkpoint": features.checkpoint}
    dataset.save()


def _visualise(dataset: Any, method: str, values: np.ndarray) -> None:
    """Two dimensions, the same ones each time."""
    fiftyone_library.brain().compute_visualization(
        dataset, embeddings=values, method=method, brain_key=method, seed=0, num_dims=2, verbose=False
    )


def _make_searchable(dataset: Any, values: np.ndarray, features: Features) -> None:
    # By the name of a model of the zoo, any process can search by text later; an object of a model would be lost.
    model: dict[str, Any] = {}
    if features.model:
        arguments = {"clip": features.model, "checkpoint": features.checkpoint}
        model = {"model": _TEXT_MODEL, "model_kwargs": arguments}
    fiftyone_library.brain().compute_similarity(
        dataset, embeddings=values, brain_key=SEARCH, backend="sklearn", metric="cosine", **model
    )


def _digest(samples: list[str], features: Features, names: list[str]) -> str:
    """Of what the runs are computed from. Samples' ids, since a sample that was made again is another one."""
    total = hashlib.sha256("\n".join([features.model, features.checkpoint, *names, *samples]).encode())
    total.update(np.ascontiguousarray(features.values).data)
    return total.hexdigest()[:16]
