"""A picture against the skeleton that it was to show, and other bodies than were asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.collection import sets
from curate.collection.directory import Collection
from curate.pose import weights
from curate.workers.settings import WorkerSettings
from synth.accept.accept import accept
from synth.accept.pose import judged, known_skeleton
from synth.rendering.folder import render_folder, sidecar
from synth.rendering.keypoints import NAMES
from tests.synth.accept.conftest import add_synthetic, picture

KEY = "tree/synthetic-0-00000.png"
SKELETON = [[10.0 + 5 * n, 20.0 + 3 * n, 2] for n in range(len(NAMES))]


def posed(collection: Collection, **told: Any) -> Path:
    add_synthetic(collection, {KEY: picture(9, 64)})
    path = collection.root / "images" / KEY
    path.with_suffix(".json").write_text(json.dumps(told))
    return path


@pytest.fixture
def rendered(tmp_path: Path) -> tuple[Image.Image, list[Any]]:
    """A warrior, and where the joints are."""
    folder = tmp_path / "rendered"
    render_folder(folder, ["warrior_ii"], 1, size=320, seed=7, workers=WorkerSettings(workers=1))
    [told] = map(json.loads, sidecar(folder).read_text().splitlines())
    return Image.open(folder / told["file"]).convert("RGB"), told["keypoints"]


def found_by(collection: Collection, image: Image.Image, keypoints: list[Any], rule: str) -> pd.Series:
    """What a rule finds in a synthetic image that was to show these keypoints."""
    add_synthetic(collection, {KEY: image})
    (collection.root / "images" / KEY).with_suffix(".json").write_text(json.dumps({"keypoints": keypoints}))
    found = accept(collection, model=None)
    assert found.rules[rule].not_run == ""
    rows = found.table[(found.table["rule"] == rule) & (found.table["key"] == KEY)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.slow
def test_who_takes_the_pose_is_accepted(collection: Collection, rendered: tuple[Image.Image, list[Any]]) -> None:
    row = found_by(collection, *rendered, "synthetic_pose")
    assert not row["flagged"]
    assert row["detail"].startswith(f"OKS {1 - row['score']:.2f}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        (lambda image: image.transpose(Image.Transpose.ROTATE_180), "synthetic_pose"),
        (lambda image: beside(image, image), "several_people"),
        (lambda image: image.crop((0, 0, image.width, image.height // 2)), "cropped_body"),
        (lambda image: Image.new("RGB", image.size, "black"), "no_person"),
    ],
    ids=["upside down", "twice", "upper half", "nobody"],
)
def test_other_bodies_are_rejected(
    collection: Collection,
    rendered: tuple[Image.Image, list[Any]],
    changed: Callable[[Image.Image], Image.Image],
    rule: str,
) -> None:
    image, keypoints = rendered
    assert found_by(collection, changed(image), keypoints, rule)["flagged"]
    assert not sets.explain_synthetic(collection)["filtered"].any()


def beside(one: Image.Image, other: Image.Image) -> Image.Image:
    both = Image.new("RGB", (one.width + other.width, one.height))
    both.paste(one, (0, 0))
    both.paste(other, (one.width, 0))
    return both


@pytest.mark.slow
def test_without_weights_it_says_how_to_get_them_and_without_skeletons_that_there_are_none(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_files_of_package", dict)
    path = posed(collection, keypoints=SKELETON)
    assert weights.INSTALL in accept(collection, model=None).rules["synthetic_pose"].not_run
    path.with_suffix(".json").unlink()
    assert "no synthetic image has a skeleton" in accept(collection, model=None).rules["synthetic_pose"].not_run


def test_a_verdict_names_what_is_wrong() -> None:

    wanted = np.random.default_rng(0).uniform(0, 200, (17, 3))
    wanted[:, 2] = 2
    assert judged([], wanted, sides=False) == (1.0, "no person was found")
    assert judged([wanted], wanted, sides=False) == (0.0, "OKS 1.00, 100% of the joints are near")


def test_left_and_right_are_told_apart_only_where_that_is_asked_for() -> None:
    from synth.accept.agreement import swapped

    wanted = np.random.default_rng(0).uniform(0, 200, (17, 3))
    wanted[:, 2] = 2
    assert judged([swapped(wanted)], wanted, sides=False) == (
        0.0, "OKS 1.00, 100% of the joints are near, left and right swapped"
    )  # fmt: skip
    score, detail = judged([swapped(wanted)], wanted, sides=True)
    assert score > 0.5
    assert detail.endswith("left and right swapped")


def test_a_skeleton_is_read_from_the_file_beside_an_image(collection: Collection) -> None:
    path = posed(collection, keypoints=SKELETON)
    file = path.relative_to(collection.root).as_posix()
    np.testing.assert_array_equal(known_skeleton(collection, file), SKELETON)
    # A control's keypoints are parts of the largest square in the middle, here of 64 x 32 pixels.
    control = [[0.5, 0.25, 2]] * len(NAMES)
    path.with_suffix(".json").write_text(json.dumps({"size": "64x32", "control_keypoints": control}))
    np.testing.assert_array_equal(known_skeleton(collection, file), [[32, 8, 2]] * len(NAMES))
    for told in ("", "[]", "{}", '{"keypoints": [[1, 2, 2]]}', json.dumps({"keypoints": [[1, 2, 0]] * 17})):
        path.with_suffix(".json").write_text(told)
        assert known_skeleton(collection, file) is None
