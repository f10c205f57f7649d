import numpy as np
import pytest

from curate.body.skeleton import BONE, BONES, DOFS, HIGH, INDEX, LOW, Proportions, forward, mirrored

PEOPLE = Proportions()


def bent(joint: str, angle: str, degrees: float) -> np.ndarray:
    angles = np.zeros(len(DOFS))
    angles[INDEX[joint, angle]] = degrees
    return angles


def test_neutral_stance_is_upright_and_as_tall_as_it_says() -> None:
    placed = forward(np.zeros(len(DOFS)), PEOPLE)
    left, right = placed.point("left_ankle", (0, 0, 0)), placed.point("right_ankle", (0, 0, 0))
    assert left[0] > 0 > right[0]
    crown = placed.point("neck", (0, 0.147 * PEOPLE.height, 0))[1]
    sole = left[1] - 0.039 * PEOPLE.height
    assert crown - sole == pytest.approx(PEOPLE.height, rel=0.03)


@pytest.mark.parametrize(
    ("joint", "angle", "end", "axis", "sign"),
    [
        ("left_knee", "flex", "left_ankle", 2, -1),
        ("right_knee", "flex", "right_ankle", 2, -1),
        ("left_elbow", "flex", "left_wrist", 2, 1),
        ("left_hip", "flex", "left_knee", 2, 1),
        ("left_hip", "abduct", "left_knee", 0, 1),
        ("right_hip", "abduct", "right_knee", 0, -1),
        ("left_shoulder", "abduct", "left_elbow", 0, 1),
        ("right_shoulder", "abduct", "right_elbow", 0, -1),
        ("spine", "flex", "neck", 2, 1),
        ("spine", "side", "neck", 0, 1),
        ("root", "pitch", "neck", 2, 1),
    ],
)
def test_each_word_bends_the_way_that_the_pose_file_says(
    joint: str, angle: str, end: str, axis: int, sign: int
) -> None:
    straight = forward(np.zeros(len(DOFS)), PEOPLE).origins[BONE[end], axis]
    moved = forward(bent(joint, angle, 30), PEOPLE).origins[BONE[end], axis]
    assert sign * (moved - straight) > 0.05


def test_bones_keep_their_length_whatever_the_angles() -> None:
    rng = np.random.default_rng(3)
    placed = forward(rng.uniform(LOW, HIGH, (20, len(DOFS))), PEOPLE)
    thigh = np.linalg.norm(placed.origins[:, BONE["left_knee"]] - placed.origins[:, BONE["left_hip"]], axis=-1)
    np.testing.assert_allclose(thigh, PEOPLE.thigh * PEOPLE.height)


def test_a_batch_is_what_its_rows_are() -> None:
    angles = np.random.default_rng(4).uniform(LOW, HIGH, (3, len(DOFS)))
    batch = forward(angles, PEOPLE)
    for row in range(3):
        np.testing.assert_allclose(batch.origins[row], forward(angles[row], PEOPLE).origins)


def test_mirrored_angles_give_the_mirrored_body() -> None:
    angles = np.random.default_rng(5).uniform(LOW, HIGH)
    one, other = forward(angles, PEOPLE).origins, forward(mirrored(angles), PEOPLE).origins
    swap = [BONE[bone.replace("left", "L").replace("right", "left").replace("L", "right")] for bone in BONES]
    np.testing.assert_allclose(other[swap] * [-1, 1, 1], one, atol=1e-12)
    np.testing.assert_allclose(mirrored(mirrored(angles)), angles)
