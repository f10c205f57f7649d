"""Rules on copies: of the copies of a picture in a class, the best one stays.

The image table's `group` says what is a copy of what (curate/collection/groups.py, docs/collection.md). The keeper is the copy in
the official test set where there is one, for that set must stay comparable; then the one of most pixels, then of most
bytes, then of the smallest id and key. When or in which order they were imported never decides.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from curate.checks.rules.matches import Question, matches
from curate.checks.rules.rule import Inputs, Kind, Rule
from curate.collection import groups

FOUND = ["key", "score", "detail", "other"]


def exact_duplicate(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """The same bytes under another key of the same class; all but one of them are flagged, with score 1."""
    found = []
    for rows in several(inputs.images, ["id", "label"]):
        keeper, *others = best_first(rows)["key"]
        found += [(key, 1.0, f"the same bytes as {keeper}", rows["id"].iloc[0]) for key in others]
    return pd.DataFrame(found, columns=FOUND)


def near_duplicate(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """A copy of a better picture of its class (which is larger, say); the score is their correlation."""
    return _copies(inputs, mirrored=False)


def mirrored_duplicate(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """A mirrored copy of a better picture of its class; the score is their correlation."""
    return _copies(inputs, mirrored=True)


def _copies(inputs: Inputs, mirrored: bool) -> pd.DataFrame:
    copies, questions = [], []
    for rows in several(inputs.images, ["group", "label"]):
        ordered = best_first(rows)
        keeper, ids = ordered.iloc[0], list(rows["id"].unique())
        for key, id in zip(ordered["key"], ordered["id"], strict=True):
            if id != keeper["id"]:
                copies.append((key, keeper["key"], keeper["id"]))
                questions.append(Question(id, [keeper["id"]], ids))
    what = "mirrored copy of" if mirrored else "copy of"
    found = [
        (key, match.score, f"{what} {keeper}", keeper_id)
        for (key, keeper, keeper_id), match in zip(copies, matches(inputs.signatures, questions), strict=True)
        if match.mirrored == mirrored
    ]
    return pd.DataFrame(found, columns=FOUND)


def several(images: pd.DataFrame, columns: list[str]) -> Iterator[pd.DataFrame]:
    """The rows of each value of `columns` that several images have."""
    for _, rows in images[images.duplicated(columns, keep=False)].groupby(columns):
        yield rows


def best_first(images: pd.DataFrame) -> pd.DataFrame:
    """Images, the one to keep of them first."""
    order = images.assign(
        later=images["official_split"] != "test", pixels=-images["width"] * images["height"], weight=-images["bytes"]
    )
    return images.loc[order.sort_values(["later", "pixels", "weight", "id", "key"]).index]


EXACT_DUPLICATE = Rule("exact_duplicate", "exact duplicate", 1, Kind.COPY, True, {"threshold": 1.0}, exact_duplicate)
NEAR_DUPLICATE = Rule(
    "near_duplicate", "near duplicate", 1, Kind.COPY, True, {"threshold": groups.FINE}, near_duplicate
)
MIRRORED_DUPLICATE = Rule(
    "mirrored_duplicate", "mirrored duplicate", 1, Kind.COPY, True, {"threshold": groups.FINE}, mirrored_duplicate
)
