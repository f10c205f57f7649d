"""Counting people on detections, and the detector's whole path on weights that are random: its boxes are rubbish, its
path is not.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_320_FPN_Weights

from curate.checks.rules import people
from curate.checks.rules.people import NOT_ONE_PERSON, VARIABLE, judged
from curate.checks.rules.rule import CannotRun, Inputs
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder

LARGE, HALF, SMALL = (0, 0, 100, 200), (120, 0, 220, 100), (300, 0, 320, 40)


def judge(*detections: tuple[tuple[int, int, int, int], float]) -> tuple[float, str]:
    boxes = np.array([box for box, _ in detections], np.float32).reshape(-1, 4)
    return judged(boxes, np.array([score for _, score in detections], np.float32), smallest=0.25)


@pytest.mark.parametrize(
    ("detections", "flagged", "detail"),
    [
        ([], True, "no person"),
        ([(LARGE, 0.3)], True, "a person with confidence 0.30"),
        ([(LARGE, 0.98)], False, "a person with confidence 0.98"),
        ([(LARGE, 0.98), (HALF, 0.9)], True, "a second person with confidence 0.90"),
        ([(HALF, 0.9), (LARGE, 0.98)], True, "a second person with confidence 0.90"),
        ([(LARGE, 0.98), (HALF, 0.2)], False, "a second person with confidence 0.20"),
        ([(LARGE, 0.98), (SMALL, 0.95)], False, "a person with confidence 0.98"),
        ([(LARGE, 0.98), (SMALL, 0.95), (HALF, 0.8)], True, "a second person with confidence 0.80"),
    ],
)
def test_people_are_counted(
    detections: list[tuple[tuple[int, int, int, int], float]], flagged: bool, detail: str
) -> None:
    score, said = judge(*detections)
    assert (score >= NOT_ONE_PERSON.parameters["threshold"], said) == (flagged, detail)
    assert 0 <= score <= 1


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    file = tmp_path_factory.mktemp("weights") / "detector.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    # Biased to see a person in every box that is proposed: else random weights see none at all.
    detector.roi_heads.box_predictor.cls_score.bias.data[people.PERSON] = 8
    torch.save(detector.state_dict(), file)
    return file


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    for number in range(3):
        file = tmp_path / "photos" / "tree" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (90 + 20 * number, 120, 3), np.uint8)
        Image.fromarray(noise).save(file)
    import_folder(tmp_path / "photos", tmp_path / "collection")
    collection = Collection.open(tmp_path / "collection")
    with Signatures(collection) as signatures:  # the rule reads none
        return Inputs(collection, collection.images(), signatures, None, "", 1)


@pytest.mark.slow
def test_the_detector_judges_every_image(inputs: Inputs, random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(random_weights))
    table = NOT_ONE_PERSON.run(inputs, NOT_ONE_PERSON.parameters)
    assert list(table["key"]) == list(inputs.images["key"])
    assert table["score"].between(0, 1).all()
    assert table["detail"].str.contains("person").all()
    assert NOT_ONE_PERSON.run(inputs, NOT_ONE_PERSON.parameters).equals(table)


@pytest.mark.slow
def test_detections_are_of_persons_in_pixels_of_the_picture(random_weights: Path) -> None:
    detector = people.load(random_weights)
    pictures = [np.zeros((60, 90, 3), np.uint8), np.full((200, 50, 3), 200, np.uint8)]
    found = list(people.detect(detector, pictures))
    assert len(found) == 2
    assert sum(len(scores) for _, scores in found) > 0
    for (boxes, scores), picture in zip(found, pictures, strict=True):
        assert boxes.shape == (len(scores), 4)
        assert (boxes >= 0).all()
        assert (boxes <= (picture.shape[1], picture.shape[0]) * 2).all()


@pytest.mark.slow
def test_an_image_that_is_gone_is_named_and_left_out(
    inputs: Inputs, random_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(random_weights))
    inputs.collection.path(inputs.images["file"][1]).unlink()
    table = NOT_ONE_PERSON.run(inputs, NOT_ONE_PERSON.parameters)
    assert list(table["key"]) == ["tree/0.png", "tree/2.png"]
    assert "people cannot be counted in 1 image, such as tree/1.png" in capsys.readouterr().err


def test_weights_are_taken_from_torchs_cache_and_never_downloaded(
    tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CannotRun, match=f"download https://.*pth .* to {tmp_path}/hub/checkpoints/fasterrcnn"):
        people.weights()
    cached = tmp_path / "hub" / "checkpoints" / "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(random_weights)
    assert people.weights() == cached
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.pth"))
    with pytest.raises(CannotRun, match=r"names .*none\.pth, which is no file"):
        people.weights()


@pytest.mark.slow
def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    nonsense, other, pickled = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "c.pth"
    nonsense.write_bytes(b"nothing of the kind")
    torch.save({"weight": torch.zeros(3)}, other)
    torch.save(torch.nn.Linear(2, 2), pickled)  # a whole model: loading it could run anything
    empty = tmp_path / "d.pth"
    empty.write_bytes(b"")
    for file in (nonsense, other, pickled, empty):
        with pytest.raises(CannotRun, match="does not hold weights"):
            people.load(file)


def test_weights_are_looked_for_where_torch_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1.url == people.URL
    monkeypatch.delenv(VARIABLE, raising=False)
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(variable, str(tmp_path / variable))
        file = Path(torch.hub.get_dir(), "checkpoints", Path(people.URL).name)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"weights")
        assert people.weights() == file
