"""Skeletons of the poses that ship, made beforehand: to settle two hundred ways of poses takes half a minute.

data/skeletons.npz has, by a pose's digest, x and y of NUMBER skeletons as `projected.skeletons` makes them, in half
precision (a quarter of a pixel of 512). Of other poses, and of other numbers, they are made when they are needed.
`python -m curate.body.shipped_skeletons` writes the file anew where poses have changed.
"""

import io
import zipfile
from collections.abc import Sequence
from functools import cache

import numpy as np

from curate.body import projected
from curate.body.poses import Pose, everyday, shipped
from curate.foundation import atomic, resources

FILE = "skeletons.npz"
NUMBER = 60  # of a pose


def skeletons(poses: Sequence[Pose], *, views: int) -> tuple[np.ndarray, np.ndarray]:
    """As projected.skeletons with the seed 0; taken from the file where it has them."""
    known = _kept() if views == NUMBER else {}
    made = [_whole(known[pose.digest]) if pose.digest in known else _new(pose, views) for pose in poses]
    whole = np.concatenate(made) if made else projected.skeletons([], views=views)[0]
    return whole, np.repeat(np.arange(len(poses)), views)


def _new(pose: Pose, views: int) -> np.ndarray:
    return projected.skeletons([pose], views=views)[0]


def _whole(points: np.ndarray) -> np.ndarray:
    """(n, 33, 2) -> (n, 33, 5): z is not known, visibility and presence are 1."""
    joints = np.ones((*points.shape[:2], 5), np.float32)
    joints[:, :, :2] = points
    joints[:, :, 2] = np.nan
    return joints


@cache
def _kept() -> dict[str, np.ndarray]:
    """By digest of a pose; nothing where the file was made in another way than skeletons are made now."""
    with np.load(resources.path(FILE), allow_pickle=False) as arrays:
        if int(arrays["version"]) != projected.VERSION:
            return {}
        return {name: arrays[name] for name in arrays.files if name != "version"}


def write() -> None:
    """Make the file anew; the same poses give the same bytes."""
    arrays = {"version": np.array(projected.VERSION)}
    for pose in (*shipped().values(), *everyday().values()):
        arrays[pose.digest] = _new(pose, NUMBER)[:, :, :2].astype(np.float16)
    with (
        atomic.replacing(resources.path("poses.yaml").with_name(FILE)) as temporary,
        zipfile.ZipFile(temporary, "w") as file,
    ):
        for name, values in sorted(arrays.items()):
            buffer = io.BytesIO()
            np.save(buffer, values)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    write()
