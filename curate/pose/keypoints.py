"""The keypoints of a collection, keypoints.parquet: a row for each person in an image, by content id.

An image without a person has one row, with `person` -1, so that it is known to have been looked at. All rows come from
one estimator; what another one finds replaces the table.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import parquet
from curate.foundation.text import command_line
from curate.pose.people import JOINTS, VALUES, Estimator, Person, inside

TABLE = "keypoints.parquet"
NOBODY = -1
SURE = 0.5  # of a person who counts where one alone is asked for
_ABOUT = {
    "id": "str",  # content id of the image
    "person": "int64",  # from 0, the surest first; NOBODY
    "score": "float32",  # of the detector, 0 to 1
    "presence": "float32",  # that there is a person, at a closer look, 0 to 1
    "left": "float32",  # of a box around the joints, pixels of the upright image
    "top": "float32",
    "right": "float32",
    "bottom": "float32",
    "inside": "float32",  # the share of the joints that lie within the image
    "estimator": "str",
    "digest": "str",  # of the estimator's weights and settings
}
_JOINTS = [f"{name}_{value}" for name in JOINTS for value in VALUES]
COLUMNS = _ABOUT | dict.fromkeys(_JOINTS, "float32")
WIDTH = 2 + len(_JOINTS)  # numbers that an estimator finds of a person: score, presence, joints


@dataclass(frozen=True)
class Keypoints:
    """What is known of the people in a collection's images."""

    table: pd.DataFrame  # COLUMNS, sorted by id and person

    def knows(self, digest: str) -> set[str]:
        """The ids of the images that the estimator of this digest has looked at."""
        return set(self.table.loc[self.table["digest"] == digest, "id"])

    def ids(self) -> set[str]:
        """Those of the images that were looked at."""
        return set(self._rows)

    @property
    def estimator(self) -> str:
        """Its name; "" where nothing was looked at yet."""
        return str(self.table["estimator"].iloc[0]) if len(self.table) else ""

    @property
    def digest(self) -> str:
        """Of its weights and settings; "" where nothing was looked at yet."""
        return str(self.table["digest"].iloc[0]) if len(self.table) else ""

    def of(self, digest: str) -> bool:
        """Whether all of it, which may be nothing, comes from the estimator of this digest."""
        return bool((self.table["digest"] == digest).all())

    def people(self, content_id: str) -> list[Person]:
        """Those in an image, the surest first. Raises KeyError for one that was not looked at."""
        return [self._person(row) for row in self._rows[content_id] if self._persons[row] != NOBODY]

    def alone(self, content_id: str) -> Person | None:
        """Who is alone in an image: the only one of whom the estimator is SURE. None where there is none."""
        people = self.people(content_id) if content_id in self._rows else []
        sure = [person for person in people if person.score >= SURE]
        return sure[0] if len(sure) == 1 else None

    def joints_of_those_alone(self, ids: Sequence[str]) -> np.ndarray:
        """Of who is `alone` in each image, (n, 33, 5): people.VALUES; NaN where nobody is."""
        found = np.full((len(ids), len(JOINTS), len(VALUES)), np.nan)
        for number, content_id in enumerate(ids):
            if (person := self.alone(content_id)) is not None:
                found[number] = person.joints
        return found

    def counts(self) -> pd.Series:
        """The number of people in each image that was looked at, by its id."""
        return (self.table["person"] != NOBODY).groupby(self.table["id"]).sum()

    def joints(self, ids: Sequence[str]) -> np.ndarray:
        """Of the surest person of each image, (n, 33, 5) float32: people.VALUES; NaN where there is nobody, and where
        nobody was looked for.
        """
        found = np.full((len(ids), len(JOINTS), len(VALUES)), np.nan, np.float32)
        known = [n for n, one in enumerate(ids) if one in self._rows]
        found[known] = self._joints[[self._rows[ids[n]][0] for n in known]]
        return found

    def inside(self) -> pd.Series:
        """By id, of each image that was looked at: the share of the surest person's joints that lie within it; NaN
        where there is nobody.
        """
        return self.table.drop_duplicates("id").set_index("id")["inside"]

    def fingerprint(self) -> str:
        """Of what is known of whom: another one as soon as any person or joint is another."""
        total = hashlib.sha256("\n".join(self.table["id"]).encode())
        for values in (self._persons, self._scores, self.table["inside"].to_numpy(), self._joints):
            total.update(np.ascontiguousarray(values).data)
        return total.hexdigest()[:16]

    def _person(self, row: int) -> Person:
        score, presence = self._scores[row].tolist()
        return Person(score, presence, self._joints[row])

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, content_id in enumerate(self.table["id"]):
            found.setdefault(content_id, []).append(row)
        return found

    @cached_property
    def _persons(self) -> np.ndarray:
        return self.table["person"].to_numpy()

    @cached_property
    def _scores(self) -> np.ndarray:
        return self.table[["score", "presence"]].to_numpy()

    @cached_property
    def _joints(self) -> np.ndarray:
        return self.table[_JOINTS].to_numpy(np.float32).reshape(-1, len(JOINTS), len(VALUES))


def read(collection: Collection) -> Keypoints:
    """A collection's keypoints; none before `curate pose`. Raises FewposeError where the table is damaged."""
    again = f"delete it: {command_line('curate', 'pose', collection.root)} makes it again"
    try:
        return Keypoints(parquet.read(collection.file(TABLE), COLUMNS, again))
    except FileNotFoundError:
        return Keypoints(pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()}))


def write(collection: Collection, table: pd.DataFrame) -> Keypoints:
    """Replace the table, whole."""
    ordered = table[list(COLUMNS)].astype(COLUMNS).sort_values(["id", "person"], ignore_index=True)
    parquet.write(collection.file(TABLE), ordered)
    return Keypoints(ordered)


def packed(people: Sequence[Person], most: int) -> np.ndarray:
    """People as they are kept until they are in the table: (most, WIDTH) float32, NaN behind the last one."""
    row = np.full((most, WIDTH), np.nan, np.float32)
    for number, person in enumerate(people):
        row[number] = [person.score, person.presence, *person.joints.ravel()]
    return row


def table_of(images: pd.DataFrame, found: np.ndarray, estimator: Estimator) -> pd.DataFrame:
    """Rows of the table.  images: of the image table.  found: of each `packed`, (n, most, WIDTH)."""
    there = np.isfinite(found[:, :, 0])
    there[:, 0] = True  # the row of an image without a person
    image, person = np.nonzero(there)
    values = found[image, person]
    joints = values[:, 2:].reshape(-1, len(JOINTS), len(VALUES))
    nobody = np.isnan(values[:, 0])
    low, high = _boxes(joints)
    within = inside(joints, images[["width", "height"]].to_numpy()[image])
    about = {
        "id": images["id"].to_numpy()[image], "person": np.where(nobody, NOBODY, person),
        "score": values[:, 0], "presence": values[:, 1],
        "left": low[:, 0], "top": low[:, 1], "right": high[:, 0], "bottom": high[:, 1],
        "inside": np.where(nobody, np.nan, within), "estimator": estimator.name, "digest": estimator.digest,
    }  # fmt: skip
    return pd.concat([pd.DataFrame(about), pd.DataFrame(values[:, 2:], columns=_JOINTS)], axis=1).astype(COLUMNS)


def _boxes(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Around the known joints of each person: left and top, right and bottom, (n, 2) each; NaN where none is known."""
    points = joints[:, :, :2]
    known = np.isfinite(points)
    low, high = np.where(known, points, np.inf).min(1), np.where(known, points, -np.inf).max(1)
    there = known.any(1)
    return np.where(there, low, np.nan), np.where(there, high, np.nan)
