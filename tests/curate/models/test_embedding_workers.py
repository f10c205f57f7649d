"""Features that several processes compute are those of one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate import cli
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.importing.importer import import_folder
from curate.models import clip_models, embeddings
from curate.models.clip_models import ClipModel
from curate.models.embedding_workers import embed_ahead
from curate.workers import blocks
from curate.workers.settings import WorkerSettings
from tests.curate.workers.trap import deadly

pytestmark = pytest.mark.slow

TWO = WorkerSettings(workers=2)
IMAGES = 5


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    for number in range(IMAGES):
        (tmp_path / "photos" / "tree").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(tmp_path / "photos" / "tree" / f"{number}.png")
    import_folder(tmp_path / "photos", tmp_path / "collection", workers=1)
    return Collection.open(tmp_path / "collection")


@pytest.fixture(scope="module")
def tiny() -> ClipModel:
    return clip_models.load("tiny/random", device="cpu")


def test_two_workers_give_the_features_of_one(
    collection: Collection, tiny: ClipModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = collection.images()
    alone = embeddings.embed(collection, images, tiny)
    for file in collection.cache("embeddings").rglob("*.*"):
        file.unlink()
    monkeypatch.setattr(blocks, "BLOCK", 2)
    embed_ahead(collection, images, tiny, TWO, device="cpu")
    assert "embedding with tiny/random: 5/5" in capsys.readouterr().err
    assert embeddings.missing(collection, images, tiny).empty
    monkeypatch.setattr(ClipModel, "encode_images", lambda *_: pytest.fail("computed in this process"))
    together = embeddings.embed(collection, images, tiny)
    # Batches of other sizes differ in rounding (tests/curate/models/test_embeddings.py).
    np.testing.assert_allclose(together, alone, rtol=0, atol=5e-3 * np.abs(alone).max())
    embed_ahead(collection, images, tiny, TWO, device="cpu")  # starts nobody
    assert capsys.readouterr().err == ""


def test_one_worker_is_this_process(collection: Collection, tiny: ClipModel) -> None:
    embed_ahead(collection, collection.images(), tiny, WorkerSettings(), device="cpu")
    assert len(embeddings.missing(collection, collection.images(), tiny)) == IMAGES


def test_the_command_has_workers(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["curate", "embed", str(collection.root), "--model", "tiny/random", "--device", "cpu", "--workers", "2"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(ClipModel, "encode_images", lambda *_: pytest.fail("computed in this process"))
    with pytest.raises(SystemExit) as stop:
        cli.app()
    assert stop.value.code == 0


def test_an_image_with_which_every_worker_dies_is_named(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)  # with one block for one worker, this process would be it
    with pytest.raises(FewposeError, match=r"^tree/3.png makes every worker die that reads it \(a process with exit"):
        blocks.compute(deadly, collection, collection.images(), TWO, what="working")
