"""torchvision's keypoint R-CNN: its real path, with weights that nobody trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.importing.importer import import_folder
from curate.pose.estimating import estimate
from curate.pose.keypoint_rcnn import KeypointRCNN
from curate.pose.people import COCO, JOINTS
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings

pytestmark = pytest.mark.slow


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


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))


def test_it_finds_people_and_their_joints_in_pixels(weights: Path, picture: Image.Image) -> None:
    people = KeypointRCNN(weights).people(picture)
    assert people
    for person in people:
        assert person.score == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-4)
        joints = person.joints[list(COCO), :2]
        assert ((joints >= 0) & (joints <= 64)).all()
        assert np.isnan(np.delete(person.joints, COCO, axis=0)).all()
        assert np.isfinite(person.box).all()
        assert person.inside(64, 64) == 1


def test_its_keypoints_are_a_table_like_others(weights: Path, picture: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "photos" / "tree").mkdir(parents=True)
    picture.save(tmp_path / "photos" / "tree" / "1.png")
    import_folder(tmp_path / "photos", tmp_path / "collection")
    collection = Collection.open(tmp_path / "collection")
    settings = PoseSettings(model="keypoint-rcnn", weights=weights)
    found = estimate(collection, collection.images(), settings, WorkerSettings(workers=1)).keypoints
    assert found.estimator == "keypoint-rcnn"
    row = found.table.iloc[0]
    assert 0 <= row["left"] < row["right"] <= 64
    assert row["inside"] == 1
    joints = found.joints([row["id"]])
    assert np.isfinite(joints[0, list(COCO)]).all()
    assert joints.shape[1] == len(JOINTS)


def test_weights_that_are_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match=r"download https://.*pth .*--weights"):
        PoseSettings(model="keypoint-rcnn").found()
    with pytest.raises(UsageError, match=r"absent\.pth: no such file"):
        PoseSettings(model="keypoint-rcnn", weights=tmp_path / "absent.pth").found()
    nonsense, other, pickled = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "c.pth"
    nonsense.write_bytes(b"nothing of the kind")
    torch.save({"weight": torch.zeros(3)}, other)
    torch.save(torch.nn.Linear(2, 2), pickled)  # a whole model: loading it could run anything
    for file in (nonsense, other, pickled):
        with pytest.raises(UsageError, match="does not hold weights of torchvision's keypointrcnn"):
            PoseSettings(model="keypoint-rcnn", weights=file).load()
