"""Pictures in a page: those of the collection's table, and no other that a stranger names."""

import base64
import io
import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from curate.collection.directory import Collection
from fewshot.reporting.elements.thumbnails import of_file, thumbnails

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\n%%EOF\n"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    Image.linear_gradient("L").save(tmp_path / "private.png")
    return tmp_path / "private.png"


def shown(collection: Collection, file: str) -> tuple[bool, str]:
    """Whether the first image is shown when a stranger's table says that it lies there, and why not."""
    table = pd.read_parquet(collection.root / "images.parquet")
    table.loc[0, "file"] = file
    table.to_parquet(collection.root / "images.parquet")
    key = table["key"][0]
    pictures, lacking = thumbnails(str(collection.root), [key, table["key"][1], "no such key"])
    assert table["key"][1] in pictures
    assert "no such key" not in pictures | lacking
    return key in pictures, lacking.get(key, "")


def test_only_what_the_table_s_content_id_names_is_shown(own_collection: Collection, private: Path) -> None:
    own = own_collection.images()["file"][0]
    assert shown(own_collection, own) == (True, "")
    assert shown(own_collection, str(own_collection.path(own).absolute())) == (True, "")  # a linked image
    assert shown(own_collection, str(private)) == (False, "changed since import")
    assert shown(own_collection, str(private.with_name("nothing"))) == (False, "cannot be opened")
    assert shown(own_collection, "/dev/zero") == (False, "cannot be opened")
    link = own_collection.root / "images/link.png"
    link.symlink_to(own_collection.path(own))
    assert shown(own_collection, "images/link.png") == (False, "cannot be opened")
    os.mkfifo(own_collection.root / "images/pipe.png")
    assert shown(own_collection, "images/pipe.png") == (False, "cannot be opened")


def test_a_table_that_leads_out_shows_nothing(own_collection: Collection, private: Path) -> None:
    keys = list(own_collection.images()["key"][:2])
    table = pd.read_parquet(own_collection.root / "images.parquet")
    table.loc[0, "file"] = "../private.png"
    table.to_parquet(own_collection.root / "images.parquet")
    assert thumbnails(str(own_collection.root), keys) == ({}, {})


def test_a_file_of_another_format_starts_no_other_program(tmp_path: Path) -> None:
    """Pillow hands PostScript to Ghostscript."""
    (tmp_path / "e.png").write_bytes(EPS)
    assert of_file(tmp_path / "e.png", 100) is None


def test_a_picture_is_small_and_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 100), "red")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    uri = of_file(tmp_path / "turned.jpg", 50)
    assert uri is not None
    made = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert made.size[1] == 50
    assert made.size[0] < 20
