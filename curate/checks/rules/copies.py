"""Rules on copies: of the copies of a picture in a class, the best one stays.

The image table's `group` says what is a copy of what (curate/collection/groups.py, docs/collection.md). The keeper is
the copy in the official test set where there is one, for that set must stay comparable; then the one of most pixels,
then of most bytes, then of the smallest id and key. When or in which order they were imported never decides.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from curate.checks.rules.matches import Question, matches
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection import groups
from curate.collection.findings import Kind
from curate.images.signatures import Signatures
from curate.pose import posture

FOUND = ["key", "score", "detail", "other"]
_SURE = 0.5  # of a person
# A correlation from which on nobody in a picture has moved. An estimator sees other joints in a copy of a tiny picture,
# a drawing or a poster. Four of 96 copies in photos5_noisy were such; all of them reach 0.997.
_SAME_PIXELS = 0.99


def exact_duplicate(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """The same bytes under another key of the same class; all but one of them are flagged, with score 1."""
    found = []
    for rows in several(inputs.images, ["id", "label"]):
        keeper, *others = best_first(rows)["key"]
        found += [(key, 1.0, f"the same bytes as {keeper}", rows["id"].iloc[0]) for key in others]
    return pd.DataFrame(found, columns=FOUND)


def near_duplicate(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """A copy of a better picture of its class (which is larger, say); the score is their correlation.

    parameters: `postures`, how far two people's postures are apart (posture.distance) that are others, in pictures of
    one scene by a camera that stood still: these are no copies. Without keypoints, nobody's postures are known.
    """
    return _copies(inputs, parameters["postures"], mirrored=False)


def mirrored_duplicate(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """A mirrored copy of a better picture of its class; the score is their correlation.

    parameters: as near_duplicate's.
    """
    return _copies(inputs, parameters["postures"], mirrored=True)


def _copies(inputs: Inputs, furthest: float, mirrored: bool) -> pd.DataFrame:
    copies, questions = [], []
    together = list(several(inputs.images, ["group", "label"]))
    postures = _postures(inputs, {id for rows in together for id in rows["id"]})
    for rows in together:
        ids = list(rows["id"].unique())
        for (key, id), (keeper, keeper_id) in _kept(best_first(rows), postures, furthest, inputs.signatures):
            copies.append((key, keeper, keeper_id))
            questions.append(Question(id, [keeper_id], ids))
    what = "mirrored copy of" if mirrored else "copy of"
    found = [
        (key, match.score, f"{what} {keeper}", keeper_id)
        for (key, keeper, keeper_id), match in zip(copies, matches(inputs.signatures, questions), strict=True)
        if match.mirrored == mirrored
    ]
    return pd.DataFrame(found, columns=FOUND)


def _postures(inputs: Inputs, ids: set[str]) -> dict[str, np.ndarray]:
    """By content id, the joints (33, 2) of who is alone in a picture; of nobody where there are no keypoints."""
    if not ids:
        return {}
    try:
        keypoints = inputs.keypoints
    except CannotRun:
        return {}
    people = {id: keypoints.people(id) for id in ids & keypoints.ids()}
    return {id: found[0].joints[:, :2] for id, found in people.items() if len(found) == 1 and found[0].score >= _SURE}


def _kept(
    rows: pd.DataFrame, postures: Mapping[str, np.ndarray], furthest: float, signatures: Signatures
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Of each picture that goes, key and id, and those of the best one that stays; other bytes than that one's.

    More than one stays where people take other postures.
    """
    keepers: list[tuple[str, str]] = []
    for key, id in rows[["key", "id"]].itertuples(index=False):
        same = [keeper for keeper in keepers if keeper[1] == id]
        if not same:
            others = _other_postures(id, [keeper[1] for keeper in keepers], postures, furthest, signatures)
            same = [keeper for keeper in keepers if keeper[1] not in others]
        if not same:
            keepers.append((key, id))
        elif same[0][1] != id:
            yield (key, id), same[0]


def _other_postures(
    id: str, keepers: Sequence[str], postures: Mapping[str, np.ndarray], furthest: float, signatures: Signatures
) -> set[str]:
    """The keepers that show another posture, and not the very same pixels."""
    known = [keeper for keeper in keepers if keeper in postures]
    if id not in postures or not known:
        return set()
    theirs = np.stack([postures[keeper] for keeper in known])
    apart = posture.distance(np.broadcast_to(postures[id], theirs.shape), theirs)
    far = [keeper for keeper, distance in zip(known, apart, strict=True) if distance > furthest]
    alike = matches(signatures, [Question(id, [keeper], [id, keeper]) for keeper in far])
    return {keeper for keeper, match in zip(far, alike, strict=True) if match.score < _SAME_PIXELS}


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
_DEFAULTS = {"threshold": groups.FINE, "postures": 0.25}
NEAR_DUPLICATE = Rule("near_duplicate", "near duplicate", 2, Kind.COPY, True, _DEFAULTS, near_duplicate)
MIRRORED_DUPLICATE = Rule("mirrored_duplicate", "mirrored duplicate", 2, Kind.COPY, True, _DEFAULTS, mirrored_duplicate)
