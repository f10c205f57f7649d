"""Caches may lie elsewhere (--cache, FEWPOSE_CACHE): then a collection on a disk that is read-only can be used."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate import cli
from curate.checks.measures import measuring_workers
from curate.checks.measures.measurements import missing
from curate.collection.directory import CACHE_VARIABLE, Collection
from curate.foundation.cache import CannotWrite
from curate.importing.importer import import_folder
from curate.workers import blocks
from curate.workers.settings import WorkerSettings

COUNT = 4


def photos(folder: Path, seed: int = 0) -> Path:
    for number in range(COUNT):
        (folder / "tree").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(100 * seed + number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(folder / "tree" / f"{number}.png")
    return folder


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return import_folder(photos(tmp_path / "photos"), tmp_path / "c", workers=1).collection


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["curate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.app()
    return int(ended.value.code or 0)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_they_lie_in_the_collection_unless_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Collection(tmp_path / "c").cache("pixels", "x") == tmp_path / "c/cache/pixels/x"
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert Collection(tmp_path / "c").cache("pixels", "x") == tmp_path / "c/cache/pixels/x"
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "named"))
    assert Collection(tmp_path / "c").cache("pixels", "x").is_relative_to(tmp_path / "named")
    said = Collection(tmp_path / "c", tmp_path / "said")  # counts more than the environment
    assert said.cache("pixels", "x") == tmp_path / "said" / said.name / "pixels/x"


def test_each_collection_has_a_folder_of_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(tmp_path / "a")
    here, there, linked = (Collection(tmp_path / parent / "my yoga", tmp_path) for parent in ("a", "b", "short"))
    assert here.name.startswith("my-yoga-")
    assert here.cache() != there.cache()
    assert here.cache() == linked.cache()


def test_who_is_sent_a_collection_has_the_same_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's environment and working directory may be others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "named")
    sent = pickle.dumps(Collection(Path("c")).absolute())
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.chdir("/")
    received: Collection = pickle.loads(sent)  # noqa: S301
    assert received.root == tmp_path / "c"
    assert received.cache("x") == tmp_path / "named" / received.name / "x"


def test_import_and_status_obey_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "caches"
    for name in ("one", "two"):
        source = photos(tmp_path / f"photos of {name}", len(name))
        assert run(monkeypatch, "import", source, tmp_path / name, "--cache", elsewhere) == 0
    assert not (tmp_path / "one/cache").exists()
    assert len(list(elsewhere.iterdir())) == 2
    there = files(elsewhere)
    assert {name.split("/")[1] for name in there} == {"signatures", "groups"}
    one, two = (Collection(tmp_path / name, elsewhere) for name in ("one", "two"))
    assert files(one.cache()) == files(two.cache())


@pytest.mark.slow
def test_workers_compute_where_they_are_told(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 2)
    elsewhere = Collection(collection.root, tmp_path / "caches")
    before = files(collection.root)
    measuring_workers.measure_ahead(elsewhere, elsewhere.images(), WorkerSettings(workers=2))
    assert missing(elsewhere, elsewhere.images()).empty
    assert len(missing(collection, collection.images())) == COUNT
    assert files(collection.root) == before


@pytest.mark.slow
def test_what_a_read_only_collection_lacks_is_said_with_the_way_out(
    collection: Collection,
    tmp_path: Path,
    read_only: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The advice is followed: it works."""
    read_only(collection.root)
    embed = ("embed", collection.root, "--model", "tiny/random", "--device", "cpu")
    assert run(monkeypatch, *embed) == 1
    said = capsys.readouterr().err
    assert f"error: the cache {collection.root}/cache/" in said
    assert "can't be written to (Read-only file system)" in said
    assert "--cache DIR" in said and "FEWPOSE_CACHE" in said
    assert "Traceback" not in said
    assert run(monkeypatch, *embed, "--cache", tmp_path / "caches") == 0
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "others"))
    assert run(monkeypatch, *embed) == 0
    assert {name.split("/")[1] for name in files(tmp_path / "others")} == {"embeddings", "pixels"}


def test_a_check_of_a_read_only_collection_says_that_it_cannot(
    collection: Collection, read_only: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from curate.checks.check import check
    from curate.foundation.errors import FewposeError

    read_only(collection.root)
    with pytest.raises(FewposeError, match=r"c cannot be written to \(Read-only file system\)"):
        check(Collection(collection.root, tmp_path / "caches"), model=None)


def test_a_full_cache_on_a_read_only_disk_is_read(collection: Collection, read_only: Callable[[Path], None]) -> None:
    """Also with a shard that is damaged, which can't be deleted: its rows count as absent."""
    from curate.images.pixels import PixelCache
    from curate.images.transform import Transform

    images, transform = collection.images(), Transform(32)
    PixelCache(collection, transform).fill(images.head(2))
    PixelCache(collection, transform).fill(images)
    first, _ = sorted(collection.cache("pixels", transform.name).glob("*.npy"), key=lambda path: path.stat().st_mtime)
    os.truncate(first, first.stat().st_size - 1)
    read_only(collection.root)
    cache = PixelCache(collection, transform)
    assert len(cache.take(images["id"].tail(2))) == 2
    with pytest.raises(CannotWrite, match="--cache DIR"):
        cache.fill(images)


def test_a_link_in_the_place_of_a_cache_is_refused_there_too(collection: Collection, tmp_path: Path) -> None:
    from curate.foundation.errors import FewposeError

    elsewhere = Collection(collection.root, tmp_path / "caches")
    elsewhere.cache().parent.mkdir()
    elsewhere.cache().symlink_to(tmp_path / "home")
    with pytest.raises(FewposeError, match=f"caches/{elsewhere.name} is a symbolic link"):
        elsewhere.cache("pixels")
