"""A skeleton lies where the person is, and shows most where most is added."""

import numpy as np
import pytest
from PIL import Image

from curate.pose.people import NUMBER
from fewshot.classifier import BodyClassifier
from fewshot.explaining.joints import PARTS
from fewshot.explaining.overlay import pale
from fewshot.explaining.skeleton import skeleton

SIZE = 300
LEFT_WRIST = 5
GREY = Image.new("RGB", (SIZE, SIZE), (150, 150, 150))


@pytest.fixture
def points(postures: tuple[BodyClassifier, np.ndarray]) -> np.ndarray:
    """Joints of somebody in warrior II, in parts of a picture."""
    joints = postures[1][4, :, :2]
    low, high = joints.min(axis=0), joints.max(axis=0)
    placed: np.ndarray = 0.1 + 0.8 * (joints - low) / (high - low).max()
    return placed


def colourful(image: Image.Image) -> np.ndarray:
    values = np.asarray(image, np.int16)
    result: np.ndarray = values.max(axis=2) - values.min(axis=2)
    return result


def only(part: int) -> np.ndarray:
    return np.where(np.arange(len(PARTS)) == part, 0.7, -0.2)


def test_the_joint_that_adds_the_most_has_the_colour(points: np.ndarray) -> None:
    """The bones next to it share it, less and less."""
    colours = colourful(skeleton(GREY, points, only(LEFT_WRIST)))
    y, x = np.nonzero(colours > 30)
    wrist, elbow = (points[NUMBER[name]] * SIZE for name in ("left_wrist", "left_elbow"))
    assert np.hypot(x - wrist[0], y - wrist[1]).max() < 1.1 * np.hypot(*(wrist - elbow))
    column, row = np.rint(wrist).astype(int).tolist()
    assert colours[row - 3 : row + 4, column - 3 : column + 4].min() > 40


def test_a_joint_that_adds_more_is_larger(points: np.ndarray) -> None:
    half = only(LEFT_WRIST)
    half[LEFT_WRIST + 1] = 0.2  # the right one
    changed = np.asarray(skeleton(GREY, points, half), np.int16) != np.asarray(pale(GREY), np.int16)

    def around(name: str) -> int:
        x, y = np.rint(points[NUMBER[name]] * SIZE).astype(int).tolist()
        return int(changed[max(y - 15, 0) : y + 15, max(x - 15, 0) : x + 15].any(axis=2).sum())

    assert around("left_wrist") > around("right_wrist") + 50


def test_where_nothing_is_added_there_is_no_colour(points: np.ndarray) -> None:
    for nothing in (np.zeros(13), np.full(13, -2.0)):
        drawn = skeleton(GREY, points, nothing)
        assert colourful(drawn).max() == 0
        assert drawn.tobytes() != pale(GREY).tobytes()  # the bones are there


def test_a_skeletons_own_scale_does_not_matter(points: np.ndarray) -> None:
    added = np.random.default_rng(0).normal(size=13)
    made = [np.asarray(skeleton(GREY, points, added * scale), np.int16) for scale in (1e-9, 1, 1e9)]
    assert np.abs(made[0] - made[1]).max() <= 1 and np.abs(made[2] - made[1]).max() <= 1


def test_what_is_not_known_is_not_drawn(points: np.ndarray) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)).resize((180, 120))
    nobody = np.asarray(skeleton(picture, np.full((33, 2), np.nan), np.zeros(13)), np.int16)
    assert np.abs(nobody - np.asarray(pale(picture), np.int16)).max() <= 12  # but for what resizing does
    lacking = points.copy()
    lacking[list(PARTS[LEFT_WRIST])] = np.nan
    assert colourful(skeleton(GREY, lacking, only(LEFT_WRIST))).max() < 130
    assert colourful(skeleton(GREY, points, only(LEFT_WRIST))).max() > 130


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (320, 240)])
@pytest.mark.parametrize("moved", [0, 5, -5])
def test_pictures_of_any_shape_and_people_beyond_them(points: np.ndarray, size: tuple[int, int], moved: int) -> None:
    assert skeleton(Image.new("RGB", size), points + moved, np.arange(13.0)).size == size
