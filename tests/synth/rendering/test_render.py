import dataclasses

import numpy as np
import pytest

from curate.body.poses import everyday, named, shipped
from curate.body.skeleton import mirrored
from curate.foundation.errors import UsageError
from synth.rendering.keypoints import HIDDEN, NAMES, VISIBLE
from synth.rendering.render import render, render_scene
from synth.rendering.scene import draw, generator

SIZE = 64
SWAP = [NAMES.index(name.replace("left", "L").replace("right", "left").replace("L", "right")) for name in NAMES]


def pixels(pose: str, *, seed: int, index: int = 0) -> np.ndarray:
    return np.asarray(render(pose, size=SIZE, seed=seed, index=index).image)


def test_equal_arguments_give_equal_pixels_whatever_was_drawn_before() -> None:
    first = pixels("tree", seed=0, index=3)
    pixels("plank", seed=9)
    np.testing.assert_array_equal(pixels("tree", seed=0, index=3), first)


@pytest.mark.slow
def test_seed_index_and_pose_all_matter() -> None:
    pictures = [
        pixels("tree", seed=0), pixels("tree", seed=1), pixels("tree", seed=0, index=1), pixels("plank", seed=0),
    ]  # fmt: skip
    for number, one in enumerate(pictures):
        for other in pictures[number + 1 :]:
            assert np.abs(one.astype(int) - other).mean() > 5


def test_an_unknown_pose_is_bad_usage() -> None:
    with pytest.raises(UsageError, match="'swan'"):
        render("swan", seed=0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number % 4 == 0 else pytest.mark.slow)
        for number, name in enumerate(shipped() | everyday())
    ],
)
def test_every_pose_is_whole_in_the_frame_and_its_keypoints_are_on_the_person(name: str) -> None:
    drawn = render(name, seed=11, size=96)
    assert drawn.image.size == (96, 96)
    assert drawn.image.mode == "RGB"
    assert drawn.mask.shape == (96, 96)
    assert drawn.mask.dtype == bool
    border = np.concatenate([drawn.mask[0], drawn.mask[-1], drawn.mask[:, 0], drawn.mask[:, -1]])
    assert not border.any()
    assert 0.02 < drawn.mask.mean() < 0.5
    assert drawn.keypoints.shape == (17, 3)
    assert drawn.keypoints.dtype == np.float32
    assert set(drawn.keypoints[:, 2]) <= {HIDDEN, VISIBLE}
    grown = np.pad(drawn.mask, 1)
    grown = np.max([grown[1 + y : 97 + y, 1 + x : 97 + x] for x in (-1, 0, 1) for y in (-1, 0, 1)], axis=0)
    for x, y, seen in drawn.keypoints:
        # Even a hidden joint is inside the body, and the body is all in front of the background.
        assert grown[int(y), int(x)], (x, y, seen)
    assert (drawn.keypoints[:, 2] == VISIBLE).sum() >= 3


def test_the_mirrored_scene_has_the_mirrored_keypoints() -> None:
    pose = named("warrior_ii")
    scene = draw(pose, generator("warrior_ii", 2, 0))
    view = dataclasses.replace(
        scene.view,
        azimuth=-scene.view.azimuth,
        roll=-scene.view.roll,
        shift=(-scene.view.shift[0], scene.view.shift[1]),
    )
    # Only hair and light have no side here; neither moves a keypoint.
    other = dataclasses.replace(
        scene, angles=mirrored(scene.angles), goals=scene.goals.mirrored(), mirror=not scene.mirror, view=view
    )
    one, two = render_scene(scene, 96).keypoints, render_scene(other, 96).keypoints
    np.testing.assert_allclose(two[SWAP][:, 0], 96 - one[:, 0], atol=0.1)
    np.testing.assert_allclose(two[SWAP][:, 1], one[:, 1], atol=0.1)


@pytest.mark.slow
def test_the_back_of_the_head_hides_the_face() -> None:
    pose = named("tree")
    scene = draw(pose, generator("tree", 0, 0))
    seen = {}
    for azimuth in (0.0, 180.0):
        view = dataclasses.replace(scene.view, azimuth=azimuth)
        seen[azimuth] = render_scene(dataclasses.replace(scene, view=view), 128).keypoints[NAMES.index("nose"), 2]
    assert seen == {0.0: VISIBLE, 180.0: HIDDEN}


def test_the_person_stands_out_from_the_background() -> None:
    """The mask is where the picture of the person is: drawn on another backdrop, only the rest changes much."""
    pose = named("triangle")
    scene = draw(pose, generator("triangle", 0, 0))
    white, black = (
        dataclasses.replace(scene.backdrop, kind="studio", wall=colour, floor=colour, mat=None)
        for colour in (np.full(3, 0.9, np.float32), np.full(3, 0.02, np.float32))
    )
    one, two = (render_scene(dataclasses.replace(scene, backdrop=place), 96) for place in (white, black))
    np.testing.assert_array_equal(one.mask, two.mask)
    changed = np.abs(np.asarray(one.image, int) - np.asarray(two.image, int)).mean(axis=2)
    assert changed[one.mask].mean() < 0.35 * changed[~one.mask].mean()
