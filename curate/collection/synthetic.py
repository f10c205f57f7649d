"""What a collection knows of its synthetic images: rows of the image table whose source is "synthetic".

They only ever join what is trained on. Rules that doubt photographs, splits and tests see the real ones alone; which
synthetic ones are worth training on, `synth accept` and people say.
"""

import re

import pandas as pd

from curate.foundation import json_files
from curate.foundation.errors import FewposeError

SOURCE = "synthetic"
KINDS = ("rendered", "augmented", "generated")  # by our renderer; from real images, without a model; by a model

_CONTENT_ID = re.compile("[0-9a-f]{64}")
_KINDS = {"mannequin": "rendered", "augment": "augmented"}


def real(images: pd.DataFrame) -> pd.DataFrame:
    """The rows of photographs, with their index."""
    return images[images["source"] != SOURCE]


def synthetic(images: pd.DataFrame) -> pd.DataFrame:
    """The rows of synthetic images, with their index."""
    return images[images["source"] == SOURCE]


def made_from(images: pd.DataFrame) -> dict[str, str]:
    """For each synthetic image, by content id: the content id of the real image that it was made from, or ""."""
    rows = synthetic(images)
    return {id: _fact(told, "made_from") for id, told in zip(rows["id"], rows["provenance"], strict=True)}


def posed_by(images: pd.DataFrame) -> dict[str, str]:
    """As `made_from`: the content id of the real image whose skeleton it was made to show, or ""."""
    rows = synthetic(images)
    controls = {id: _fact(told, "control") for id, told in zip(rows["id"], rows["provenance"], strict=True)}
    return {id: control if _CONTENT_ID.fullmatch(control) else "" for id, control in controls.items()}


def kind(images: pd.DataFrame) -> pd.Series:
    """One of KINDS for each synthetic image, "" for a real one; indexed like `images`."""
    kinds = [
        _KINDS.get(_fact(told, "generator"), "generated") if source == SOURCE else ""
        for source, told in zip(images["source"], images["provenance"], strict=True)
    ]
    return pd.Series(kinds, index=images.index, dtype="str")


def _fact(provenance: str, name: str) -> str:
    """Raises FewposeError for a provenance that a foreign table holds: ours are JSON."""
    try:
        return str(json_files.parse_object(provenance).get(name, "")) if provenance else ""
    except json_files.NotJson as why:
        raise FewposeError(f"images.parquet holds a provenance that can't be read: {why}") from why
