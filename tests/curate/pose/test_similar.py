"""Whose posture is nearest: somebody in the same pose, and first of all the same person seen in a mirror."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.body.poses import chosen
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.pose import posture, similar
from curate.pose.estimating import estimate
from curate.pose.people import JOINTS, NUMBER, OTHER_SIDE
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings
from synth.rendering.folder import render_folder
from tests.curate.conftest import PEOPLE

RANDOM = np.random.default_rng(0)


def people(number: int) -> np.ndarray:
    """Random joints, all of them seen."""
    joints = np.ones((number, len(JOINTS), 5), np.float32)
    joints[:, :, :2] = RANDOM.normal(300, 80, (number, len(JOINTS), 2))
    return joints


def mirrored(joints: np.ndarray, width: float = 640) -> np.ndarray:
    """In a mirror: who lifts the left arm is somebody who lifts the right one."""
    seen = joints[:, OTHER_SIDE].copy()
    seen[:, :, 0] = width - seen[:, :, 0]
    return seen


def test_the_distance_is_the_formula() -> None:
    one, others = people(1)[0], people(6)
    others[:, :, 3] = RANDOM.uniform(0, 1, (6, len(JOINTS)))
    a, kept = posture.normalised(one[None, :, :2])[0], list(posture.KEPT)
    for other, said in zip(others, similar.distances(one, others), strict=True):
        each = []
        for points, seen in posture.views(other[None, :, :2], other[None, :, 3]):
            b = posture.normalised(points)[0]
            weights = [np.sqrt(max(seen[0, j], 0.1)) for j in kept]
            each.append(sum(w * np.hypot(*(a[j] - b[j])) for w, j in zip(weights, kept, strict=True)) / sum(weights))
        assert said == pytest.approx(min(each), rel=1e-4)


def test_place_size_and_the_mirror_are_no_distance() -> None:
    joints = people(5)
    moved = joints.copy()
    moved[:, :, :2] = moved[:, :, :2] * 3 + [40, -7]
    for number, one in enumerate(joints):
        for same in (moved, mirrored(joints), joints[:, OTHER_SIDE]):
            assert similar.distances(one, same)[number] == pytest.approx(0, abs=1e-5)
            assert similar.nearest(one, same, 1).tolist() == [number]


def test_the_nearest_come_first_and_who_is_nobody_never() -> None:
    one = people(1)
    others = np.repeat(one, 5, axis=0)
    others[:, NUMBER["left_wrist"], 0] += np.array([30, 0, 90, 60, 0], np.float32)
    others[4] = np.nan
    assert similar.nearest(one[0], others, 3).tolist() == [1, 0, 3]
    assert similar.nearest(one[0], others, 30).tolist() == [1, 0, 3, 2]
    assert similar.nearest(others[4], others, 30).size == 0
    assert similar.nearest(one[0], others[:0], 30).size == 0


def test_a_joint_that_one_only_guesses_counts_for_less() -> None:
    one = people(1)
    others = np.repeat(one, 2, axis=0)
    others[:, NUMBER["left_ankle"], 0] += 60
    others[1, NUMBER["left_ankle"], 3] = 0
    sure, guessed = similar.distances(one[0], others)
    assert guessed < 0.7 * sure


def test_an_unknown_joint_is_no_reason_to_be_left_out() -> None:
    one = people(1)
    others = np.concatenate([people(3), one])
    others[3, NUMBER["right_heel"]] = np.nan
    assert similar.nearest(one[0], others, 1).tolist() == [3]


POSES = ("tree", "triangle", "plank", "chair")  # in one way each: neighbours are sought by pose
EACH = 4


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], np.ndarray]:
    """Rendered people in four poses, and each picture's mirror image: the keys, and what the estimator sees."""
    folder = tmp_path_factory.mktemp("similar")
    render_folder(
        folder / "photos", chosen(",".join(POSES), PEOPLE), EACH, size=320, seed=1, workers=WorkerSettings(workers=1)
    )
    for file in sorted((folder / "photos").glob("*/*.jpg")):
        ImageOps.mirror(Image.open(file)).save(mirror(file))
    import_folder(folder / "photos", folder / "collection", workers=1)
    collection = Collection.open(folder / "collection")
    images = collection.images()
    found = estimate(collection, images, PoseSettings(), WorkerSettings(workers=1)).keypoints
    return list(images["key"]), found.joints(list(images["id"]))


def mirror(file: Path) -> Path:
    return file.with_name(f"{file.stem}-mirrored.png")


@pytest.mark.slow
def test_the_mirrored_picture_is_nearest_and_neighbours_are_in_its_pose(
    seen: tuple[list[str], np.ndarray],
) -> None:
    keys, joints = seen
    assert len(keys) == 2 * EACH * len(POSES)
    pictures = [number for number, key in enumerate(keys) if key.endswith(".jpg")]
    mirrors = same = 0
    for number in pictures:
        others = np.delete(np.arange(len(keys)), number)
        ranked = [Path(keys[other]) for other in others[similar.nearest(joints[number], joints[others], 3)]]
        mirrors += ranked[0] == mirror(Path(keys[number]))
        same += sum(other.parent == Path(keys[number]).parent for other in ranked[1:])
    # The estimator does not see all of a picture's mirror image as it sees the picture.
    assert mirrors >= 0.9 * len(pictures)
    assert same >= 0.9 * 2 * len(pictures)  # by chance it would be one in five
