"""BlazePose finds the joints of rendered people, where they are, and as MediaPipe's own program does."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.pose.blazepose import BlazePose
from curate.pose.people import COCO, JOINTS, NUMBER, Person, scaled
from curate.pose.weights import find
from tests.curate.pose.conftest import Rendered

pytestmark = pytest.mark.slow

# What MediaPipe 0.10.21 answers to the same files; made by: python -m benchmarks.pose --reference
MEDIAPIPE = json.loads(Path(__file__).with_name("mediapipe.json").read_text())


def the_only(people: list[Person]) -> Person:
    (person,) = people
    return person


def torso(coco: np.ndarray) -> float:
    """From the middle of the shoulders to that of the hips, in pixels."""
    return float(np.hypot(*(coco[5:7, :2].mean(0) - coco[11:13, :2].mean(0))))


def test_the_joints_lie_where_the_renderer_put_them(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    near = []
    for one in rendered:
        person = the_only(blazepose.people(one.image))
        apart = np.hypot(*(person.joints[list(COCO), :2] - one.coco[:, :2])[5:].T)
        near.extend(apart < 0.2 * torso(one.coco))
        assert person.score > 0.5
        assert person.presence > 0.9
    assert np.mean(near) > 0.8  # PCK@0.2 of the torso; benchmarks/pose.py measures it over all poses


def test_the_answers_are_mediapipes(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    """Within a hundredth of the body's size on average; what is left is how its crops are rounded."""
    apart = []
    for one in rendered:
        theirs = np.array(MEDIAPIPE[one.name])
        ours = the_only(blazepose.people(one.image)).joints
        size = np.hypot(*np.ptp(theirs[:, :2], axis=0))
        apart.append(np.hypot(*(ours[:, :2] - theirs[:, :2]).T).mean() / size)
    assert np.mean(apart) < 0.01
    assert max(apart) < 0.025


def test_left_and_right_are_the_persons_own(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    """In a picture and its mirror image the same joint has the other name."""
    one = rendered[0]
    person = the_only(blazepose.people(one.image))
    mirrored = the_only(blazepose.people(ImageOps.mirror(one.image)))
    left, right = NUMBER["left_wrist"], NUMBER["right_wrist"]
    assert abs(person.joints[left, 0] - (one.image.width - mirrored.joints[right, 0])) < 0.1 * torso(one.coco)


def test_a_second_look_finds_the_same_person(rendered: list[Rendered], blazepose: BlazePose) -> None:
    again, one = BlazePose(find(), again=True), rendered[0]
    assert again.digest != blazepose.digest
    first, second = the_only(blazepose.people(one.image)), the_only(again.people(one.image))
    assert 0 < np.abs(first.joints[:, :2] - second.joints[:, :2]).mean() < 0.1 * torso(one.coco)


def montage(*images: Image.Image) -> Image.Image:
    wide = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), "white")
    left = 0
    for image in images:
        wide.paste(image, (left, 0))
        left += image.width
    return wide


def test_two_people_are_two_each_in_their_half(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    found = blazepose.people(montage(rendered[0].image, rendered[2].image))
    assert len(found) == 2
    assert found[0].score >= found[1].score
    middles = sorted(float(person.joints[:, 0].mean()) for person in found)
    assert middles[0] < rendered[0].image.width < middles[1]


def test_no_more_people_are_named_than_were_asked_for(rendered: list[Rendered]) -> None:
    assert len(BlazePose(find(), most=1).people(montage(rendered[0].image, rendered[2].image))) == 1


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (3000, 2), (2, 900)])
@pytest.mark.parametrize("kind", ["black", "noise"])
def test_where_there_is_nobody_nobody_is_found(blazepose: BlazePose, size: tuple[int, int], kind: str) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    assert blazepose.people(Image.fromarray(pixels)) == []


def test_a_person_of_twelve_pixels_is_nobody_or_that_person(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    small = Image.new("RGB", (640, 640), "white")
    small.paste(rendered[0].image.resize((12, 12)), (300, 300))
    for person in blazepose.people(small):
        assert np.abs(person.joints[:, :2] - 306).max() < 60


def test_who_is_upside_down_has_the_feet_above_the_head(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    person = the_only(blazepose.people(ImageOps.flip(rendered[0].image)))
    assert person.joints[NUMBER["left_ankle"], 1] < person.joints[NUMBER["nose"], 1]


def test_joints_beyond_the_frame_are_counted_out(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    one = rendered[0]
    whole = the_only(blazepose.people(one.image))
    assert whole.inside(*one.image.size) == 1
    waist = int(one.coco[11:13, 1].mean())
    upper = one.image.crop((0, 0, one.image.width, waist))
    assert the_only(blazepose.people(upper)).inside(*upper.size) < 0.9


def test_scaling_a_person_is_scaling_the_picture(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    person = the_only(blazepose.people(rendered[0].image))
    larger = scaled(person, 2, 3)
    assert np.allclose(larger.joints[:, :2], person.joints[:, :2] * [2, 3])
    assert np.allclose(larger.box, person.box * [2, 3, 2, 3])
    assert (larger.joints[:, 3:] == person.joints[:, 3:]).all()


def test_cocos_keypoints_are_seventeen_of_the_joints(blazepose: BlazePose, rendered: list[Rendered]) -> None:
    person = the_only(blazepose.people(rendered[0].image))
    found = person.coco()
    assert found.shape == (17, 3)
    assert (found[9, :2] == person.joints[NUMBER["left_wrist"], :2]).all()
    assert set(found[:, 2]) <= {1, 2}
    assert JOINTS[COCO[16]] == "right_ankle"
