"""What the rules of acceptance look at: the synthetic images, and beside them the photographs of the collection."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from curate.checks.rules.components import Components
from curate.checks.rules.rule import CannotRun, Inputs
from curate.collection import groups, synthetic
from curate.foundation import console
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable
from curate.models.clip_models import ClipModel


@dataclass(frozen=True)
class Candidates(Inputs):
    """`images`, `features`: of the synthetic images. The others are never judged, only compared with."""

    photographs: pd.DataFrame  # rows of the image table, index 0 to m - 1, labels as the ledger has them
    photograph_features: np.ndarray | None  # (m, d) float32, each of length 1
    trusted: np.ndarray  # bool (m,): the photographs that no person dropped: these show what their class looks like
    clip: ClipModel | None  # that gave the features

    @cached_property
    def source_groups(self) -> np.ndarray:
        """Of each synthetic image, the group of the photograph that it was made from, "" where there is none: (n,)."""
        made_from = synthetic.made_from(self.images)
        group = dict(zip(self.photographs["id"], self.photographs["group"], strict=True))
        return np.array([group.get(made_from[id], "") for id in self.images["id"]], str)

    @cached_property
    def copies(self) -> pd.DataFrame:
        """Pairs of copies with a synthetic image in them.

        Columns: first (content id of a synthetic image), second (of another one, or of a photograph), correlation. The
        same bytes twice are not among them.
        """
        synthetic_ids = list(dict.fromkeys(_with_signature(self, self.images)))
        others = dict.fromkeys(id for id in self.photographs["id"] if id in self.signatures)
        ids = synthetic_ids + [id for id in others if id not in set(synthetic_ids)]
        thumbnails = self.signatures.thumbnails(ids)
        pairs = groups.copies(thumbnails, among=len(synthetic_ids))
        correlation, _ = groups.compare(thumbnails, pairs[:, 0], pairs[:, 1])
        named = np.array(ids, dtype=object)[pairs]
        return pd.DataFrame({"first": named[:, 0], "second": named[:, 1], "correlation": np.minimum(correlation, 1.0)})


def compared(candidates: Candidates, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the synthetic images (n, r) and of the photographs (m, r), r at most `components`.

    Their products are similarities: among the principal components of the photographs' features, so that what the
    verdict on one synthetic image is does not depend on the others. Measured on photos18 with lite0, cosines of the
    features themselves tell a quarter of the photographs of other classes from those of a class, these three quarters.
    Raises CannotRun where there are no features, or no photographs.
    """
    features = candidates.needed_features()
    if candidates.photograph_features is None or not candidates.trusted.any():
        raise CannotRun("it needs photographs to compare with, and the collection has none")
    parts = Components(candidates.photograph_features[candidates.trusted], components)
    return _unit(parts.of(features)), _unit(parts.of(candidates.photograph_features))


def _unit(X: np.ndarray) -> np.ndarray:
    result: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return result


def _with_signature(candidates: Candidates, images: pd.DataFrame) -> Iterator[str]:
    """The content ids that have a signature, once those that lack one were decoded."""
    unreadable = []
    for key, id, file in zip(images["key"], images["id"], images["file"], strict=True):
        try:
            if id not in candidates.signatures:
                candidates.signatures.of(id, originals.read(candidates.collection, file, id), NO_LIMITS)
            yield id
        except Unreadable as problem:
            unreadable.append(f"{key}: {problem}")
    if unreadable:
        said = f"{console.count(len(unreadable), 'image')} cannot be compared, such as {unreadable[0]}"
        console.note(said)
