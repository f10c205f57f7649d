"""A picture against the skeleton that it was to show: the real detector, with weights that nobody trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from synth.accept.accept import accept
from synth.accept.detector import Detector
from synth.accept.pose import judged, known_skeleton
from synth.rendering.keypoints import NAMES
from tests.synth.accept.conftest import add_synthetic, picture

KEY = "tree/synthetic-0-00000.png"
SKELETON = [[10.0 + 5 * n, 20.0 + 3 * n, 2] for n in range(len(NAMES))]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    path = tmp_path_factory.mktemp("weights") / "keypoints.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        # Every box grows to the whole picture, so that one is left: the joints of a hundred take a CPU 10 s.
        torch.nn.init.zeros_(model.rpn.head.bbox_pred.weight)
        model.rpn.head.bbox_pred.bias.data = torch.tensor([0.0, 0.0, 4.0, 4.0] * 3)
        for layer in (model.roi_heads.box_predictor.bbox_pred, model.roi_heads.box_predictor.cls_score):
            torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(model.roi_heads.box_predictor.bbox_pred.bias)
        model.roi_heads.box_predictor.cls_score.bias.data = torch.tensor([0.0, 2.0])  # a person everywhere: 0.88
    torch.save(model.state_dict(), path)
    return path


def posed(collection: Collection, **told: Any) -> Path:
    add_synthetic(collection, {KEY: picture(9, 64)})
    path = collection.root / "images" / KEY
    path.with_suffix(".json").write_text(json.dumps(told))
    return path


@pytest.mark.slow
def test_a_detector_finds_people_and_their_joints_in_pixels(weights: Path) -> None:
    people, sure = Detector(weights, "cpu").people(np.asarray(picture(1, 64)))
    assert people.shape == (len(sure), 17, 3)
    assert len(sure)
    assert sure == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-4)
    assert ((people[..., :2] >= 0) & (people[..., :2] <= 64)).all()


@pytest.mark.slow
def test_acceptance_compares_poses_and_says_how_well_they_agree(collection: Collection, weights: Path) -> None:
    posed(collection, keypoints=SKELETON)
    found = accept(collection, model=None, keypoints=weights, device="cpu")
    assert found.rules["synthetic_pose"].not_run == ""
    [row] = found.table[found.table["rule"] == "synthetic_pose"].to_dict("records")
    assert row["key"] == KEY
    assert 0 < row["score"] < 1
    assert row["detail"].startswith(f"OKS {1 - row['score']:.2f}")


def test_without_weights_it_says_how_to_get_them_and_without_skeletons_that_there_are_none(
    collection: Collection,
) -> None:
    path = posed(collection, keypoints=SKELETON)
    assert "--keypoints-weights FILE" in accept(collection, model=None).rules["synthetic_pose"].not_run
    path.with_suffix(".json").unlink()
    assert "no synthetic image has a skeleton" in accept(collection, model=None).rules["synthetic_pose"].not_run


@pytest.mark.slow
def test_weights_that_are_none_are_refused_in_a_sentence(collection: Collection, tmp_path: Path) -> None:
    posed(collection, keypoints=SKELETON)
    with pytest.raises(UsageError, match="no such file"):
        accept(collection, model=None, keypoints=tmp_path / "absent.pth")
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, other)
    with pytest.raises(UsageError, match=r"other.pth does not hold weights of torchvision's keypointrcnn"):
        accept(collection, model=None, keypoints=other)
    other.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="does not hold weights"):
        accept(collection, model=None, keypoints=other)


def test_a_verdict_names_what_is_wrong() -> None:
    from synth.accept.agreement import swapped

    wanted = np.random.default_rng(0).uniform(0, 200, (17, 3))
    wanted[:, 2] = 2
    assert judged(np.zeros((0, 17, 3)), wanted) == (1.0, "no person was found")
    assert judged(wanted[None], wanted) == (0.0, "OKS 1.00, 100% of the joints are near")
    score, detail = judged(swapped(wanted)[None], wanted)
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
