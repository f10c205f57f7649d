"""Rules on copies: of the copies of a picture in a class, the best one stays.

The image table's `group` says what is a copy of what (curate/collection/groups.py, docs/collection.md). The keeper is
the copy in the official test set where there is one, for that set must stay comparable; then the one of most pixels,
then of most bytes, then of the smallest id and key. When or in which order they were imported never decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.checks.rules.closer import CloserLook
from curate.checks.rules.matches import Question, matches
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection import groups
from curate.collection.findings import Kind
from curate.pose import posture
from curate.pose.keypoints import Keypoints

FOUND = ["key", "score", "detail", "other"]
# Correlation within a person's box, from which on it is one picture, whatever the estimator makes of either: of
# rendered people, true copies have 0.997 and more, other postures before a camera that stands still 0.83 and less.
_SAME = 0.97
# Of the distance between two postures, where it is known already that the pictures differ at the person: it suffices
# that this is no error of the estimator's, and of 95 % of true copies the postures are less than 0.12 apart.
_PIXELS_DIFFER = 0.5


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
    one scene by a camera that stood still: these are no copies, unless both show the same where the person is. Where
    nobody is found in one of them, people are looked for where the two differ. Without keypoints, nobody's postures
    are known.
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
    postures = _Postures(inputs, pd.concat([inputs.images.iloc[:0], *together]), furthest)
    for rows in together:
        ids = list(rows["id"].unique())
        for (key, id), (keeper, keeper_id) in _kept(best_first(rows), postures):
            copies.append((key, keeper, keeper_id))
            questions.append(Question(id, [keeper_id], ids))
    what = "mirrored copy of" if mirrored else "copy of"
    found = [
        (key, match.score, f"{what} {keeper}", keeper_id)
        for (key, keeper, keeper_id), match in zip(copies, matches(inputs.signatures, questions), strict=True)
        if match.mirrored == mirrored
    ]
    return pd.DataFrame(found, columns=FOUND)


@dataclass(frozen=True)
class _Person:
    """Who is alone in a picture."""

    joints: np.ndarray  # (33, 2) in pixels
    box: np.ndarray  # (4,): left, top, right, bottom as parts of the picture's sides


def _alone(keypoints: Keypoints, rows: pd.DataFrame) -> dict[str, _Person]:
    """By content id, who is alone in a picture.  rows: of the image table."""
    found = {}
    for id, width, height in rows.drop_duplicates("id")[["id", "width", "height"]].itertuples(index=False):
        if (person := keypoints.alone(id)) is not None:
            found[id] = _Person(person.joints[:, :2], person.box / (width, height, width, height))
    return found


class _Postures:
    """Which copies show people in other postures; none where there are no keypoints."""

    def __init__(self, inputs: Inputs, rows: pd.DataFrame, furthest: float) -> None:
        self._furthest, self._signatures = furthest, inputs.signatures
        self._less_far = _PIXELS_DIFFER * furthest
        self._people: dict[str, _Person] = {}
        self._closer: CloserLook | None = None
        if rows.empty:
            return
        try:
            keypoints = inputs.keypoints
        except CannotRun:
            return
        self._people = _alone(keypoints, rows)
        files = dict(zip(rows["id"], rows["file"], strict=True))
        self._closer = CloserLook(inputs.collection, inputs.signatures, keypoints, files)

    def others(self, id: str, keepers: Sequence[str]) -> set[str]:
        """Of pictures, those that certainly show another posture than this one."""
        far = {keeper for keeper in self._far(id, keepers) if not self._same_picture(id, keeper)}
        return far | {keeper for keeper in keepers if self._closer and self._closer.apart(id, keeper) > self._less_far}

    def _far(self, id: str, keepers: Sequence[str]) -> list[str]:
        """Of pictures, those in which somebody is known to take another posture."""
        known = [keeper for keeper in keepers if keeper in self._people]
        if id not in self._people or not known:
            return []
        theirs = np.stack([self._people[keeper].joints for keeper in known])
        apart = posture.distance(np.broadcast_to(self._people[id].joints, theirs.shape), theirs)
        return [keeper for keeper, distance in zip(known, apart, strict=True) if distance > self._furthest]

    def _same_picture(self, id: str, other: str) -> bool:
        """Whether two pictures show the same where the person is: then one of the two postures is a mistake."""
        if id not in self._signatures or other not in self._signatures:
            return False
        pair = self._signatures.thumbnails([id, other])[np.array([0, 1])]
        return bool(groups.compare_within(pair[None], self._people[id].box[None])[0] >= _SAME)


def _kept(rows: pd.DataFrame, postures: _Postures) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Of each picture that goes, key and id, and those of the best one that stays; other bytes than that one's.

    More than one stays where people take other postures.
    """
    keepers: list[tuple[str, str]] = []
    for key, id in rows[["key", "id"]].itertuples(index=False):
        same = [keeper for keeper in keepers if keeper[1] == id]
        if not same:
            others = postures.others(id, [keeper[1] for keeper in keepers])
            same = [keeper for keeper in keepers if keeper[1] not in others]
        if not same:
            keepers.append((key, id))
        elif same[0][1] != id:
            yield (key, id), same[0]


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
NEAR_DUPLICATE = Rule("near_duplicate", "near duplicate", 3, Kind.COPY, True, _DEFAULTS, near_duplicate)
MIRRORED_DUPLICATE = Rule("mirrored_duplicate", "mirrored duplicate", 3, Kind.COPY, True, _DEFAULTS, mirrored_duplicate)
