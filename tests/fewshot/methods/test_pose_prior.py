"""Poses are known before any photograph, and what photographs say wins soon."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.foundation.errors import UsageError
from fewshot.methods.pose import Pose
from fewshot.methods.pose_prior import PosePrior
from tests.fewshot.conftest import BODIES

MAP = {f"kind {number}": name for number, name in enumerate(BODIES)}


def accuracy(method: Any, given: Any) -> float:
    return float((method.fit(given.draw, given.task).logits(given.test).argmax(axis=1) == given.truth).mean())


def test_without_a_photograph_the_names_of_poses_are_enough(patterns: Callable[..., Any]) -> None:
    given = patterns(0, 0, 0, 0, bodies=True, tested=6)
    given = dataclasses.replace(given, task=dataclasses.replace(given.task, classes=BODIES[:4]))
    fitted = PosePrior().fit(given.draw, given.task)
    assert fitted.chosen == {"weight": 1.0}
    assert accuracy(PosePrior(), given) > 0.9


def test_a_map_says_which_poses_labels_are(patterns: Callable[..., Any]) -> None:
    given = patterns(0, 0, 0, bodies=True)
    with pytest.raises(UsageError, match="no pose for any of these classes, such as kind 0"):
        PosePrior().check_classes(given.task.classes)
    PosePrior(pose_map=MAP).check_classes(given.task.classes)
    assert accuracy(PosePrior(pose_map=MAP), given) > 0.9
    with pytest.raises(UsageError, match="tre"):
        PosePrior(pose_map={"kind 0": "tre"}).check_classes(given.task.classes)


def test_a_class_without_a_pose_is_named_and_learned_from_photographs(
    patterns: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = patterns(4, 4, 4, bodies=True)
    two = {label: pose for label, pose in MAP.items() if label != "kind 1"}
    PosePrior(pose_map=two).check_classes(given.task.classes)
    assert "no pose for kind 1" in " ".join(capsys.readouterr().err.split())
    assert accuracy(PosePrior(pose_map=two), given) > 0.9


@pytest.mark.slow
def test_a_map_that_is_wrong_weighs_nothing(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6, 6, bodies=True, tested=20)
    turned = dict(zip(MAP, [*BODIES[1:4], BODIES[0]], strict=False))
    fitted = PosePrior(pose_map=turned).fit(given.draw, given.task)
    assert fitted.chosen["weight"] < 0.2
    assert accuracy(PosePrior(pose_map=turned), given) >= accuracy(Pose(), given) - 0.05


def test_with_one_photograph_it_is_no_worse_than_that_photograph(patterns: Callable[..., Any]) -> None:
    given = patterns(1, 1, 1, 1, 1, bodies=True, tested=20)
    assert accuracy(PosePrior(pose_map=MAP), given) >= accuracy(Pose(), given)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "names no pose"),
        ("- tree", "names no pose"),
        ("kind 0: [1]", "must be text"),
        ("kind 0: 1", "must be text"),
    ],
)
def test_a_map_that_is_none_is_refused_in_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=said):
        PosePrior(pose_map=str(file))  # type: ignore[arg-type]
