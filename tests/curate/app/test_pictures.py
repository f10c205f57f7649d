"""Which files the App shows: those of the table, as they were imported."""

import os
from pathlib import Path

import pytest

from curate.app.pictures import Pictures
from curate.collection.directory import Collection
from tests.curate.app.conftest import make_collection


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return make_collection(tmp_path / "yoga", ["boat", "tree"])


def file_of(collection: Collection, key: str) -> Path:
    images = collection.images()
    return collection.path(dict(zip(images["key"], images["file"], strict=True))[key]).absolute()


def test_a_picture_of_the_table_is_shown_with_its_type(collection: Collection) -> None:
    file = file_of(collection, "boat/0.png")
    shown = Pictures(collection)(str(file))
    assert shown is not None
    assert (shown.content, shown.media_type) == (file.read_bytes(), "image/png")


def test_other_files_are_not(collection: Collection, tmp_path: Path) -> None:
    pictures = Pictures(collection)
    beside = tmp_path / "photos" / "boat" / "0.png"  # the same bytes, elsewhere
    assert beside.exists()
    file = file_of(collection, "boat/0.png")
    around = file.parent / ".." / file.parent.name / file.name
    for other in (beside, collection.root / "images.parquet", around, Path("/etc/passwd"), Path("/"), Path("x\0")):
        assert pictures(str(other)) is None


def test_a_row_that_names_a_file_of_the_machine_shows_it_to_nobody(collection: Collection, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret")
    images = collection.images()
    images.loc[images["key"] == "boat/0.png", ["file", "bytes"]] = str(secret), len(b"a secret")
    collection.write(images, collection.rejects())
    pictures = Pictures(collection)
    for path in (secret, collection.root / "../secret", collection.root.absolute() / ".." / "secret"):
        assert pictures(str(path)) is None
    assert pictures(str(file_of(collection, "tree/0.png"))) is not None  # one bad row is one picture less


def test_a_file_that_became_a_link_a_folder_or_a_pipe_is_not_shown(collection: Collection, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    link, folder, pipe = (file_of(collection, f"boat/{number}.png") for number in range(3))
    secret.write_bytes(b"x" * link.stat().st_size)
    for path in (link, folder, pipe):
        path.unlink()
    link.symlink_to(secret)
    folder.mkdir()
    os.mkfifo(pipe)
    pictures = Pictures(collection)
    assert [pictures(str(path)) for path in (link, folder, pipe)] == [None] * 3


def test_what_changed_since_the_import_is_not_shown(collection: Collection) -> None:
    file = file_of(collection, "boat/0.png")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert Pictures(collection)(str(file)) is None


def test_it_follows_a_table_that_is_replaced_while_it_runs(collection: Collection) -> None:
    pictures = Pictures(collection)
    file = file_of(collection, "boat/0.png")
    images, rejects = collection.images(), collection.rejects()
    assert pictures(str(file)) is not None
    collection.write(images[images["key"] != "boat/0.png"], rejects)
    assert pictures(str(file)) is None
    collection.write(images, rejects)
    assert pictures(str(file)) is not None


def test_a_table_that_gets_damaged_says_nothing_new(collection: Collection) -> None:
    pictures = Pictures(collection)
    file = file_of(collection, "boat/0.png")
    assert pictures(str(file)) is not None
    (collection.root / "images.parquet").write_bytes(b"damaged")
    assert pictures(str(file)) is not None


@pytest.mark.parametrize("form", ["svg+xml", "PNG\r\nSet-Cookie: a=b", "", "../x", "é"])
def test_a_format_of_somebody_elses_table_is_no_header(collection: Collection, form: str) -> None:
    images = collection.images()
    images.loc[images["key"] == "boat/0.png", "format"] = form
    collection.write(images, collection.rejects())
    shown = Pictures(collection)(str(file_of(collection, "boat/0.png")))
    assert shown is not None
    assert shown.media_type == "application/octet-stream"
