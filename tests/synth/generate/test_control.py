"""Skeletons are OpenPose's: its colours, its order, left and right; those of the renderer lie on the body it draws."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.body.poses import shipped
from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from synth.generate import control
from synth.generate.control import View, draw, from_keypoints, from_renderer, poses_of, stored
from synth.generate.image_job import Control
from synth.rendering.keypoints import HIDDEN, NAMES, OUTSIDE, VISIBLE
from synth.rendering.render import render

# Where a person who faces us stands: her left is at our right.
PLACES = {
    "nose": (0.5, 0.15), "left_eye": (0.53, 0.12), "right_eye": (0.47, 0.12), "left_ear": (0.56, 0.14),
    "right_ear": (0.44, 0.14), "left_shoulder": (0.6, 0.3), "right_shoulder": (0.4, 0.3), "left_elbow": (0.75, 0.4),
    "right_elbow": (0.25, 0.4), "left_wrist": (0.9, 0.5), "right_wrist": (0.1, 0.5), "left_hip": (0.57, 0.6),
    "right_hip": (0.43, 0.6), "left_knee": (0.6, 0.75), "right_knee": (0.4, 0.75), "left_ankle": (0.62, 0.95),
    "right_ankle": (0.38, 0.95),
}  # fmt: skip


def standing(**seen: int) -> Control:
    return Control("x", tuple((*PLACES[name], seen.get(name, VISIBLE)) for name in NAMES))


def at(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    side = min(image.size)
    colour = image.getpixel((round(image.width / 2 + (x - 0.5) * side), round(image.height / 2 + (y - 0.5) * side)))
    assert isinstance(colour, tuple)
    return colour


@pytest.mark.parametrize("size", [(512, 512), (256, 256), (768, 512)])
@pytest.mark.parametrize(
    ("joint", "colour"),
    [
        ("nose", (255, 0, 0)),
        ("right_shoulder", (255, 170, 0)),
        ("right_elbow", (255, 255, 0)),
        ("right_wrist", (170, 255, 0)),
        ("left_shoulder", (85, 255, 0)),
        ("left_elbow", (0, 255, 0)),
        ("left_wrist", (0, 255, 85)),
        ("right_hip", (0, 255, 170)),
        ("right_knee", (0, 255, 255)),
        ("right_ankle", (0, 170, 255)),
        ("left_hip", (0, 85, 255)),
        ("left_knee", (0, 0, 255)),
        ("left_ankle", (85, 0, 255)),
        ("right_eye", (170, 0, 255)),
        ("left_eye", (255, 0, 255)),
        ("right_ear", (255, 0, 170)),
        ("left_ear", (255, 0, 85)),
    ],
)
def test_each_joint_has_its_colour(joint: str, colour: tuple[int, ...], size: tuple[int, int]) -> None:
    assert at(draw(standing(), *size), *PLACES[joint]) == colour


@pytest.mark.parametrize(
    ("one", "other", "colour"),
    [
        ("right_elbow", "right_wrist", (153, 153, 0)),
        ("left_elbow", "left_wrist", (51, 153, 0)),
        ("right_knee", "right_ankle", (0, 153, 102)),
        ("left_knee", "left_ankle", (0, 51, 153)),
    ],
)
def test_limbs_are_darker_and_know_their_side(one: str, other: str, colour: tuple[int, ...]) -> None:
    middle = np.mean([PLACES[one], PLACES[other]], axis=0)
    assert at(draw(standing(), 512, 512), *middle) == colour


def test_the_neck_is_between_the_shoulders() -> None:
    assert at(draw(standing(), 512, 512), 0.5, 0.3) == (255, 85, 0)
    assert at(draw(standing(left_shoulder=OUTSIDE), 512, 512), 0.5, 0.3) == (0, 0, 0)


def test_hidden_limbs_are_drawn_hidden_faces_and_what_is_outside_not() -> None:
    image = draw(standing(left_wrist=HIDDEN, right_wrist=OUTSIDE, nose=HIDDEN), 512, 512)
    assert at(image, *PLACES["left_wrist"]) == (0, 255, 85)
    assert at(image, *PLACES["right_wrist"]) == (0, 0, 0)
    middle = np.mean([PLACES["right_elbow"], PLACES["right_wrist"]], axis=0)
    assert at(image, *middle) == (0, 0, 0)
    assert at(image, *PLACES["nose"]) == (0, 0, 0)


def test_what_lies_beyond_the_image_is_no_trouble() -> None:
    away = Control("x", tuple((5 * x - 2, 5 * y - 2, VISIBLE) for x, y in PLACES.values()))
    assert draw(away, 64, 128).size == (64, 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(shipped())[::8])
def test_the_renderer_draws_the_same_person(name: str) -> None:
    skeleton = from_renderer(View(name, 5, 2))
    drawn = render(name, seed=5, size=128, index=2)
    points = np.array(skeleton.keypoints)
    np.testing.assert_allclose(points[:, :2] * 128, drawn.keypoints[:, :2], atol=0.01)
    assert np.mean(points[:, 2] == drawn.keypoints[:, 2]) > 0.75  # hidden or not is told from fewer pixels
    assert skeleton.id == f"pose {name} 5 2"
    shown = np.asarray(draw(skeleton, 128, 128)).any(axis=2)
    grown = np.pad(drawn.mask, 3)
    grown = np.max([grown[3 + y : 131 + y, 3 + x : 131 + x] for x in (-3, 0, 3) for y in (-3, 0, 3)], axis=0)
    assert shown.sum() > 100
    assert (shown & grown).sum() > 0.8 * shown.sum()  # lines are straight; the body between two joints need not be


@pytest.mark.slow
def test_left_and_right_of_a_rendered_person() -> None:
    """Standing with arms to the sides: seen from the front the left hand is at our right, from behind at our left."""
    for index in range(12):
        skeleton = from_renderer(View("warrior_ii", 0, index))
        points = dict(zip(NAMES, skeleton.keypoints, strict=True))
        from_behind = points["left_shoulder"][0] < points["right_shoulder"][0]
        image = draw(skeleton, 512, 512)
        ours = {colour: np.argwhere((np.asarray(image) == colour).all(axis=2))[:, 1] for colour in COLOURS_OF_WRISTS}
        left, right = (columns.mean() for columns in ours.values())
        assert (left < right) == from_behind


COLOURS_OF_WRISTS = ((0, 255, 85), (170, 255, 0))  # left, right


@pytest.mark.slow
def test_equal_views_are_equal_skeletons() -> None:
    assert from_renderer(View("bow", 1, 4)) == from_renderer(View("bow", 1, 4))
    assert from_renderer(View("bow", 1, 4)) != from_renderer(View("bow", 1, 5))


def test_classes_find_their_poses() -> None:
    assert poses_of("Tree_Pose_or_Vrksasana_") == ("tree",)
    assert poses_of("downdog") == ("downward_dog",)
    assert poses_of("warrior2") == ("warrior_ii",)
    assert poses_of("goddess") == ()
    assert all(poses_of(name) == (name,) for name in shipped())


@pytest.mark.parametrize(
    ("picture", "image", "expected"),
    [
        ((100, 100), (1, 1), (0.2, 0.7)),
        ((200, 100), (1, 1), (0.1, 0.6)),  # laid in the middle of a square twice as high
        ((200, 100), (1024, 512), (-0.3, 0.7)),  # fills the image; its left is beyond the square in the middle
    ],
)
def test_stored_keypoints_lie_where_the_picture_does(
    picture: tuple[int, int], image: tuple[int, int], expected: tuple[float, float]
) -> None:
    found = np.tile([20.0, 70.0, 2.0], (17, 1))
    np.testing.assert_allclose(from_keypoints("id", found, picture, image).keypoints[0], (*expected, 2), atol=1e-4)


LINE = {"id": "a", "keypoints": [[1, 2, 2]] * 17}


def test_keypoints_are_read_the_last_line_of_an_image_counts(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path)
    assert stored(collection) == {}
    later = LINE | {"keypoints": [[3, 4, 0]] * 17}
    (tmp_path / control.FILE).write_text("\n".join(json.dumps(line) for line in (LINE, LINE | {"id": "b"}, later)))
    found = stored(collection)
    assert found.keys() == {"a", "b"}
    assert found["a"].tolist() == [[3, 4, 0]] * 17


@pytest.mark.parametrize(
    "wrong",
    [
        "no json",
        "[]",
        json.dumps({"id": "a"}),
        json.dumps(LINE | {"keypoints": [[1, 2, 2]] * 16}),
        json.dumps(LINE | {"keypoints": [[1, 2, 3]] * 17}),
        json.dumps(LINE | {"keypoints": [["x", 2, 2]] * 17}),
        json.dumps(LINE | {"keypoints": [[float("nan"), 2, 2]] * 17}),
    ],
)
def test_a_wrong_line_of_keypoints_is_named(tmp_path: Path, wrong: str) -> None:
    collection = Collection.create(tmp_path)
    (tmp_path / control.FILE).write_text(json.dumps(LINE) + "\n" + wrong + "\n")
    with pytest.raises(UsageError, match=re.escape("keypoints.jsonl, line 2: expected")):
        stored(collection)
