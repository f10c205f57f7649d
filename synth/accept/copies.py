"""Whether a synthetic image is a picture that we have already: a photograph, or another synthetic image.

A model that was trained on a photograph may paint it again. If that one is tested on, training on the copy is a leak.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.copies import FOUND
from curate.checks.rules.rule import Rule
from curate.collection import groups
from curate.collection.findings import Kind
from synth.accept.candidates import Candidates, compared

_ALIKE = 0.5  # similarity: below it, pictures have little in common, however few photographs there are
_BLOCK = 1024  # images whose similarities to all photographs are held at a time


def synthetic_copy(inputs: Candidates, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Too near to one photograph; from 0.5 on it is a near-duplicate of it, or nearer to it by the features than
    `nearer_than` of the photographs are to the nearest other one.

    Of the photograph that an image was made from, and its copies, only a near-duplicate counts. parameters:
    `components` of the features, and `least`, the photographs that say what is usual; with fewer, or without features,
    near-duplicates are all that is found.
    """
    found = _near_duplicates(inputs)
    if inputs.features is not None and inputs.photographs["group"].nunique() >= parameters["least"]:
        found += _nearest(inputs, int(parameters["components"]), parameters["nearer_than"])
    table = pd.DataFrame(found, columns=FOUND)
    # Of two findings the stronger one; a near-duplicate says more than a similarity.
    return table.sort_values(["key", "score"], ascending=[True, False], kind="stable").drop_duplicates("key")


def synthetic_duplicate(inputs: Candidates, _: Mapping[str, float]) -> pd.DataFrame:
    """A near-duplicate of another synthetic image, of which the first by key stays; the score is their correlation."""
    images = inputs.images
    first_key = images.drop_duplicates("id").set_index("id")["key"]
    place = {id: n for n, id in enumerate(images["id"].drop_duplicates())}
    earlier: dict[str, list[tuple[float, str]]] = {}
    for first, second, correlation in inputs.copies.itertuples(index=False):
        if first in place and second in place:
            before, after = sorted((first, second), key=place.__getitem__)
            earlier.setdefault(after, []).append((float(correlation), before))
    found, gone = [], set()
    for id in place:
        staying = [pair for pair in earlier.get(id, []) if pair[1] not in gone]
        if staying:
            correlation, other = max(staying)
            gone.add(id)
            detail = f"copy of {first_key[other]}"
            found += [(key, correlation, detail, other) for key in images["key"][images["id"] == id]]
    return pd.DataFrame(found, columns=FOUND)


def _near_duplicates(inputs: Candidates) -> list[tuple[str, float, str, str]]:
    """The nearest photograph of those that each image is a copy of, or the same bytes."""
    photograph = inputs.photographs.drop_duplicates("id").set_index("id")["key"]
    source = dict(zip(inputs.images["key"], inputs.source_groups, strict=True))
    group = inputs.photographs.drop_duplicates("id").set_index("id")["group"]
    copies = inputs.copies[inputs.copies["second"].isin(photograph.index)]
    best = copies.sort_values(["correlation", "second"], ascending=[False, True]).drop_duplicates("first")
    nearest = {first: (float(c), second) for first, second, c in best.itertuples(index=False)}
    found = []
    for key, id in zip(inputs.images["key"], inputs.images["id"], strict=True):
        if id in photograph.index:
            found.append((key, 1.0, f"the same bytes as {photograph[id]}", id))
        elif id in nearest:
            correlation, other = nearest[id]
            made = ", which it was made from" if source[key] and group[other] == source[key] else ""
            detail = f"copy of {photograph[other]}{made} (correlation {correlation:.2f})"
            found.append((key, _scaled(correlation, groups.FINE), detail, other))
    return found


def _nearest(inputs: Candidates, components: int, nearer_than: float) -> list[tuple[str, float, str, str]]:
    """Of each image, the photograph that is nearest by the features."""
    images, photographs = compared(inputs, components)
    names = inputs.photographs["group"].to_numpy(str)
    _, usual = nearest(photographs, names, photographs, names)
    limit = max(float(np.quantile(usual, nearer_than)), _ALIKE)
    which, near = nearest(images, inputs.source_groups, photographs, names)
    keys, ids = (inputs.photographs[column].to_numpy(str) for column in ("key", "id"))
    return [
        (
            key,
            _scaled(similarity, limit),
            f"similarity {similarity:.2f} to {keys[n]}, from {limit:.2f} on too near",
            ids[n],
        )
        for key, n, similarity in zip(inputs.images["key"], which, near, strict=True)
        if similarity > -1
    ]


def nearest(X: np.ndarray, groups: np.ndarray, others: np.ndarray, other_groups: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each vector X (n, d), which of `others` (m, d) has the largest product with it, and that: int (n,), (n,).

    groups, other_groups: (n,), (m,); those of the same group are left out. The product is -1 where nothing is left.
    """
    which, near = np.zeros(len(X), np.int64), np.full(len(X), -1.0)
    for start in range(0, len(X), _BLOCK):
        part = slice(start, start + _BLOCK)
        products = np.where(groups[part, None] != other_groups[None, :], X[part] @ others.T, -1.0)
        which[part] = products.argmax(axis=1)
        near[part] = products.max(axis=1)
    return which, near


def _scaled(value: float, limit: float) -> float:
    """0.5 at the limit, 1 at 1, 0 at 0 and below."""
    return float(np.interp(value, (0, min(limit, 1 - 1e-6), 1), (0, 0.5, 1)))


SYNTHETIC_COPY = Rule(
    "synthetic_copy",
    "copy of a photograph",
    1,
    Kind.COPY,
    True,
    {"threshold": 0.5, "components": 512, "nearer_than": 0.995, "least": 10},
    synthetic_copy,
    needs_features=True,
)
SYNTHETIC_DUPLICATE = Rule(
    "synthetic_duplicate",
    "copy of a synthetic image",
    1,
    Kind.COPY,
    True,
    {"threshold": groups.FINE},
    synthetic_duplicate,
)
