"""Models that look at the body: trained on rendered people, kept, and asked about pictures; and those that ship."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.pose import keypoints
from curate.sweeps import records
from curate.sweeps.records import Trial
from curate.workers.settings import WorkerSettings
from fewshot.predicting.predict import Predictor
from fewshot.predicting.settings import PredictSettings
from fewshot.predicting.sources import sources
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory, ready
from fewshot.trained.looking import Looking
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train
from synth.rendering.folder import render_folder

pytestmark = pytest.mark.slow
METHODS = ("pose", "pose-prior", "pose+linear-probe")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Two poses of yoga, six pictures each."""
    folder = tmp_path_factory.mktemp("people")
    render_folder(folder / "photos", ("tree", "bridge"), 6, size=256, seed=3, workers=WorkerSettings(workers=1))
    import_folder(folder / "photos", folder / "collection")
    return Collection(folder / "collection")


@pytest.fixture(scope="module", autouse=True)
def exact() -> Any:
    """fp32 on every machine, so that a sweep and a kept model compute alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_models, "has_native_bf16", lambda device: False)
        yield


@pytest.fixture
def asked(people: Collection, tmp_path: Path) -> Callable[..., TrainSettings]:
    def build(method: str, shots: int = 0, **changes: Any) -> TrainSettings:
        sweep = SweepSettings.of(
            people.root, tmp_path / "model", methods=(method,), shots=(shots or 1,), splits=1, model="tiny/random",
            device="cpu", **changes,
        )  # fmt: skip
        return TrainSettings(sweep, shots=shots, folds=2)

    return build


@pytest.mark.parametrize("method", METHODS)
def test_what_is_predicted_is_what_the_sweep_measured(
    asked: Callable[..., TrainSettings], people: Collection, tmp_path: Path, method: str
) -> None:
    settings = asked(method, shots=3)
    about = train(settings).about
    run_sweep(settings.sweep.replaced(out=tmp_path / "sweep"))
    said = records.read_predictions(tmp_path / "sweep", Trial("unfiltered", method, 3, 0))
    loaded = directory.load(tmp_path / "model", "cpu")
    looking = Looking(loaded)
    seen = [looking.of_file((people.root / "images" / key).read_bytes()) for key in said.keys.tolist()]
    np.testing.assert_allclose(
        looking.probabilities(seen), softmax(said.logits / np.float32(about.temperature)), atol=1e-4
    )
    record = json.loads((tmp_path / "sweep" / "trials" / "unfiltered" / method / "n03" / "s000.json").read_text())
    assert record["digests"]["keypoints"] == keypoints.read(people).digest == about.keypoints["digest"]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def test_pictures_folders_and_links_are_asked_about_and_nobody_is_no_class(
    asked: Callable[..., TrainSettings], people: Collection, tmp_path: Path
) -> None:
    train(asked("pose"))
    (tmp_path / "asked").mkdir()
    for name in ("tree", "bridge"):
        shutil.copy(next((people.root / "images" / name).iterdir()), tmp_path / "asked" / f"{name}.jpg")
    Image.new("RGB", (200, 200)).save(tmp_path / "asked" / "black.png")
    (tmp_path / "asked" / "text.jpg").write_text("no picture")
    predictor = Predictor(directory.load(tmp_path / "model", "cpu"), PredictSettings(top=2))
    found, _ = sources([tmp_path / "asked"])
    answers = {Path(answer.file).stem: answer for (answer,) in predictor.sources(found)}
    assert (answers["tree"].label, answers["bridge"].label) == ("tree", "bridge")
    assert answers["text"].error
    assert [probability for _, probability in answers["black"].top] == pytest.approx([0.5, 0.5])


def test_of_a_video_the_body_is_followed(
    asked: Callable[..., TrainSettings], people: Collection, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    train(asked("pose"))
    file = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 4, (256, 256))
    for name in ("tree", "bridge"):
        frame = np.asarray(Image.open(next((people.root / "images" / name).iterdir())).convert("RGB"))
        for _ in range(4):
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    predictor = Predictor(directory.load(tmp_path / "model", "cpu"), PredictSettings(fps=4, smooth=0))
    found, _ = sources([file])
    ((*answers,),) = predictor.sources(found)
    assert [answer.label for answer in answers] == ["tree"] * 4 + ["bridge"] * 4


def test_a_model_of_another_estimators_keypoints_is_refused(
    asked: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    train(asked("pose"))
    loaded = directory.load(tmp_path / "model", "cpu")
    other = {"estimator": "blazepose-full", "digest": "0" * 16}
    loaded.about = replace(loaded.about, keypoints=other)
    with pytest.raises(UsageError, match="other weights or settings"):
        Looking(loaded)
    loaded.about = replace(loaded.about, keypoints=other | {"estimator": "eyesight"})
    with pytest.raises(UsageError, match="does not know"):
        Looking(loaded)


@pytest.mark.parametrize("change", ["circle", "missing", "shares"])
def test_trees_that_make_no_sense_are_refused(asked: Callable[..., TrainSettings], tmp_path: Path, change: str) -> None:
    """Of somebody who can write weights and their digest."""
    train(asked("pose"))
    file = tmp_path / "model" / "weights.safetensors"
    tensors = safetensors.torch.load(file.read_bytes())
    if change == "missing":
        del tensors["forest.votes"]
    elif change == "circle":
        tensors["forest.below"] *= 0
    else:
        tensors["forest.shares"] *= 3
    content = safetensors.torch.save(tensors)
    file.write_bytes(content)
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    del about["checksum"]
    about["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "model" / "model.json").write_text(json.dumps(about))
    with pytest.raises(FewposeError, match="can't be used"):
        directory.load(tmp_path / "model", "cpu")


# Those that ship


def test_yoga82_names_a_posture_out_of_the_box(people: Collection, tmp_path: Path) -> None:
    """It is made once. A directory of that name is another one, and said with a dot."""
    picture = next((people.root / "images" / "bridge").iterdir())
    first = predict(tmp_path, "yoga82", picture)
    assert "Bridge" in first.stdout
    assert "made of joint angles" in first.stderr
    (tmp_path / "yoga82").mkdir()
    second = predict(tmp_path, "yoga82", picture)
    assert second.stdout == first.stdout
    assert "made of joint angles" not in second.stderr
    assert "the directory here is ./yoga82" in second.stderr
    directory_itself = predict(tmp_path, "./yoga82", picture)
    assert directory_itself.returncode == 2
    assert "yoga82 holds no trained model" in directory_itself.stderr


def predict(cache: Path, *words: Any) -> "subprocess.CompletedProcess[str]":
    code = "import os, sys; os.environ['FEWPOSE_CACHE'] = sys.argv.pop(1); from fewshot.cli import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, cache / "cache", "predict", *words], capture_output=True, text=True, check=False,
        cwd=cache,
    )  # fmt: skip


def test_a_cache_that_is_damaged_or_full_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWPOSE_CACHE", str(tmp_path))
    folder = ready.directory_of(Path("everyday"))
    (folder / "weights.safetensors").write_bytes(b"")
    with pytest.raises(FewposeError, match="damaged"):
        directory.load(folder, "cpu")
    shutil.rmtree(folder)
    assert len(directory.load(ready.directory_of(Path("everyday")), "cpu").classes) > 10


def test_classes_of_yoga82_are_words_each_of_its_own() -> None:
    from curate.collection import yoga82

    assert len({pose.english for pose in yoga82.poses()}) == 82
    assert all(yoga82.find(pose.english) == pose for pose in yoga82.poses())


def test_a_picture_in_memory_is_looked_at_as_its_file_is(
    asked: Callable[..., TrainSettings], people: Collection, tmp_path: Path
) -> None:
    train(asked("pose+linear-probe"))
    looking = Looking(directory.load(tmp_path / "model", "cpu"))
    content = next((people.root / "images" / "tree").iterdir()).read_bytes()
    one, other = looking.of_file(content), looking.of_image(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_allclose(looking.probabilities([one]), looking.probabilities([other]), atol=0.02)
