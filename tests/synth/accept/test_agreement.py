"""OKS and PCK by hand-computed values, and left against right."""

import math

import numpy as np
import pytest

from synth.accept.agreement import SIGMAS, agreement, figure, oks, pck, swapped
from synth.rendering.keypoints import NAMES


@pytest.fixture
def person() -> np.ndarray:
    """A person who stands facing us: her left is on our right. 100 wide, 200 high; the trunk's diagonal is 50."""
    places = {
        "nose": (50, 10), "left_eye": (55, 5), "right_eye": (45, 5), "left_ear": (60, 8), "right_ear": (40, 8),
        "left_shoulder": (65, 40), "right_shoulder": (35, 40), "left_elbow": (80, 60), "right_elbow": (20, 60),
        "left_wrist": (100, 80), "right_wrist": (0, 80), "left_hip": (65, 80), "right_hip": (35, 80),
        "left_knee": (62, 140), "right_knee": (38, 140), "left_ankle": (60, 205), "right_ankle": (40, 205),
    }  # fmt: skip
    return np.array([(*places[name], 2) for name in NAMES], float)


def cocos(found: np.ndarray, wanted: np.ndarray, area: float) -> float:
    """COCOeval.computeOks, for one person with known keypoints."""
    sigmas = np.array([0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]) / 10.0  # fmt: skip # noqa: E501
    variances = (sigmas * 2) ** 2
    dx, dy = found[:, 0] - wanted[:, 0], found[:, 1] - wanted[:, 1]
    e = (dx**2 + dy**2) / variances / (area + np.spacing(1)) / 2
    e = e[wanted[:, 2] > 0]
    return float(np.sum(np.exp(-e)) / e.shape[0])


def test_the_same_keypoints_agree(person: np.ndarray) -> None:
    agreed = agreement(person, person)
    assert (agreed.oks, agreed.pck, agreed.swapped) == (1, 1, False)


def test_oks_of_one_displaced_joint_is_what_one_computes_by_hand(person: np.ndarray) -> None:
    found = person.copy()
    found[NAMES.index("left_ankle"), 0] += 30
    # 30² / (2 · (2 · 0.089)² · area), with an area of 0.53 · 100 · 200 = 10,600 pixels: 900 / 671.7
    assert figure(person) == pytest.approx(10_600)
    assert oks(found, person) == pytest.approx((16 + math.exp(-900 / 671.7008)) / 17, abs=1e-6)


def test_oks_is_cocos(person: np.ndarray) -> None:
    random = np.random.default_rng(0)
    assert SIGMAS.shape == (17,)
    for _ in range(20):
        wanted = person.copy()
        wanted[:, 2] = random.integers(0, 3, 17)
        wanted[0, 2] = 2
        found = wanted + random.normal(0, 15, (17, 3))
        area = float(random.uniform(500, 20_000))
        assert oks(found, wanted, area) == pytest.approx(cocos(found, wanted, area), abs=1e-12)


def test_unknown_keypoints_do_not_count(person: np.ndarray) -> None:
    found = person.copy()
    found[NAMES.index("nose"), :2] = 1000
    person[NAMES.index("nose"), 2] = 0
    assert agreement(found, person).oks == 1
    person[:, 2] = 0
    with pytest.raises(ValueError, match="no keypoint is known"):
        oks(found, person)


def test_pck_counts_what_is_within_a_fifth_of_the_trunk(person: np.ndarray) -> None:
    found = person.copy()
    found[NAMES.index("left_knee"), 0] += 10  # 0.2 · 50: near enough
    found[NAMES.index("right_knee"), 1] += 10.1
    found[NAMES.index("left_wrist"), 1] -= 60
    assert pck(found, person) == pytest.approx(15 / 17)
    person[[NAMES.index(f"{side}_shoulder") for side in ("left", "right")], 2] = 0
    assert math.isnan(pck(found, person))


def test_left_and_right_swapped_is_wrong_and_said(person: np.ndarray) -> None:
    agreed = agreement(swapped(person), person)
    assert agreed.swapped
    assert agreed.oks < 0.6
    assert agreed.pck == pytest.approx(3 / 17)  # the nose has no other side, and the eyes are near each other
    np.testing.assert_array_equal(swapped(swapped(person)), person)
    assert NAMES[int(swapped(np.arange(17)[:, None])[NAMES.index("left_knee"), 0])] == "right_knee"


def test_a_picture_that_was_mirrored_agrees_as_little(person: np.ndarray) -> None:
    mirrored = person.copy()
    mirrored[:, 0] = 100 - mirrored[:, 0]
    assert agreement(mirrored, person).swapped
    # With its names swapped, too, a symmetric figure is itself again.
    assert agreement(swapped(mirrored), person).oks == 1
