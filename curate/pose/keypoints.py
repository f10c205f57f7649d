"""The keypoints of a collection, keypoints.parquet: a row for each person in an image, by content id.

An image without a person has one row, with `person` -1, so that it is known to have been looked at. All rows come from
one estimator; what another one finds replaces the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from curate.collection.directory import Collection
from curate.foundation import parquet
from curate.foundation.text import command_line
from curate.pose.people import JOINTS, VALUES, Estimator, Person

TABLE = "keypoints.parquet"
NOBODY = -1
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

    def people(self, content_id: str) -> list[Person]:
        """Those in an image, the surest first. Raises KeyError for one that was not looked at."""
        return [_person(self.table, row) for row in self._rows[content_id] if self._persons[row] != NOBODY]

    def counts(self) -> pd.Series:
        """The number of people in each image that was looked at, by its id."""
        return (self.table["person"] != NOBODY).groupby(self.table["id"]).sum()

    def joints(self, ids: Sequence[str]) -> np.ndarray:
        """Of the surest person of each image, (n, 33, 5) float32: people.VALUES; NaN where there is nobody.

        Raises KeyError as `people`.
        """
        first = [self._rows[one][0] for one in ids]
        return self._values[first].reshape(len(first), len(JOINTS), len(VALUES))

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
    def _values(self) -> np.ndarray:
        return self.table[_JOINTS].to_numpy(np.float32)


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
    x, y = joints[:, :, 0], joints[:, :, 1]
    size = images[["width", "height"]].to_numpy()[image]
    inside = ((x >= 0) & (x < size[:, :1]) & (y >= 0) & (y < size[:, 1:])).mean(1)
    nobody = np.isnan(values[:, 0])
    about = {
        "id": images["id"].to_numpy()[image], "person": np.where(nobody, NOBODY, person),
        "score": values[:, 0], "presence": values[:, 1],
        "left": x.min(1), "top": y.min(1), "right": x.max(1), "bottom": y.max(1),
        "inside": np.where(nobody, np.nan, inside), "estimator": estimator.name, "digest": estimator.digest,
    }  # fmt: skip
    return pd.concat([pd.DataFrame(about), pd.DataFrame(values[:, 2:], columns=_JOINTS)], axis=1).astype(COLUMNS)


def _person(table: pd.DataFrame, row: int) -> Person:
    told = table.iloc[row]
    joints = told[_JOINTS].to_numpy(np.float32).reshape(len(JOINTS), len(VALUES))
    return Person(float(told["score"]), float(told["presence"]), joints)
