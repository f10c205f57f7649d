"""Logits by arithmetic alone: postures, sides together, probabilities."""

import subprocess
import sys

import numpy as np
import pytest

from fewshot import logits


def test_softmax_stands_huge_logits() -> None:
    assert logits.softmax(np.array([[1e4, 1e4]], np.float32)).tolist() == [[0.5, 0.5]]


def test_a_higher_temperature_is_less_sure() -> None:
    said = np.array([[2.0, 0.0]], np.float32)
    cold, warm = (logits.probabilities(said, temperature)[0, 0] for temperature in (0.5, 4))
    assert (cold, warm) == (pytest.approx(1 / (1 + np.exp(-4))), pytest.approx(1 / (1 + np.exp(-0.5))))


def test_nobody_has_no_logits_and_is_never_asked_about() -> None:
    asked: list[int] = []

    def shares(features: np.ndarray) -> np.ndarray:
        asked.append(len(features))
        return np.full((len(features), 2), (1.0, 0.0))

    joints = np.random.default_rng(0).normal(size=(3, 33, 5)).astype(np.float32)
    joints[1] = np.nan
    found = logits.of_postures(joints, shares, 2)
    assert asked == [4 * 2]  # the four views of two postures
    assert found[0].tolist() == found[2].tolist() == pytest.approx([0.0, np.log(1 / 1024)])
    assert found[1].tolist() == [0, 0]
    assert logits.of_postures(joints[1:2], shares, 2).tolist() == [[0, 0]]
    assert asked == [8]


def test_it_needs_no_torch() -> None:
    """An exported folder has a copy of it."""
    program = (
        "import sys; import fewshot.logits; sys.exit(bool({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
