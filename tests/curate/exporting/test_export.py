"""What is exported is the training set, byte for byte, in a folder of its own, whole or not at all."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.checks.check import check
from curate.collection import decisions
from curate.collection.directory import Collection
from curate.collection.sets import NAMES, training_set
from curate.exporting.export import FORMATS, export
from curate.exporting.names import folder_name
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import is_seen
from curate.importing.importer import import_folder


def read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def picture(seed: int, form: str = "JPEG") -> bytes:
    noise = np.random.default_rng(seed).normal(size=(120, 140, 3)).cumsum(0).cumsum(1)
    file = io.BytesIO()
    Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8)).save(file, form)
    return file.getvalue()


# coco looks for people, which takes seconds.
ALL = [form if form != "coco" else pytest.param(form, marks=pytest.mark.slow) for form in FORMATS]

FILES = {
    "tree/1.jpg": picture(1),
    "tree/more/1.jpg": picture(2),  # another picture of the same name
    "tree/copy.jpg": picture(2),
    "plank/1.png": picture(3, "PNG"),
    "plank/2.jpg": picture(4),
    "boat (half)/1.webp": picture(5, "WEBP"),
}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Two pictures of a class, three of another one of which two are the same; one was relabelled, one dropped."""
    for key, content in FILES.items():
        (tmp_path / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / key).write_bytes(content)
    import_folder(tmp_path / "photos", tmp_path / "c")
    opened = Collection.open(tmp_path / "c")
    check(opened, model=None, rules=["exact_duplicate"])
    decisions.relabel(opened, ["tree/1.jpg"], "50% / half", new_label=True)
    decisions.drop(opened, ["plank/2.jpg"])
    return opened


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def manifest(out: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return result


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_what_was_exported(collection: Collection, tmp_path: Path, form: str, name: str) -> None:
    done = export(collection, tmp_path / "out", name=name, form=form)
    found, said = training_set(collection, name), manifest(tmp_path / "out")
    assert (done.out, done.set, done.digest, done.images) == (tmp_path / "out", name, found.digest, len(found.images))
    assert (said["set"], said["digest"], said["format"]) == (name, found.digest, form)
    assert said["images"] == len(found.images) == {"unfiltered": 6, "filtered": 4}[name]
    assert said["classes"] == dict(found.images["label"].value_counts())
    assert said["labels"] == sorted(said["classes"])
    assert said["fewpose"]


@pytest.mark.parametrize("form", ALL)
def test_the_same_set_is_the_same_bytes(collection: Collection, tmp_path: Path, form: str) -> None:
    for out in ("once", "twice"):
        export(collection, tmp_path / out, form=form)
    assert files(tmp_path / "once") == files(tmp_path / "twice")


def test_a_folder_has_a_folder_a_class_and_the_files_names(collection: Collection, tmp_path: Path) -> None:
    export(collection, tmp_path / "out", name="unfiltered")
    found = files(tmp_path / "out")
    del found["manifest.json"]
    assert found == {
        "50%25 %2F half/1.jpg": FILES["tree/1.jpg"],
        "boat (half)/1.webp": FILES["boat (half)/1.webp"],
        "plank/1.png": FILES["plank/1.png"],
        "plank/2.jpg": FILES["plank/2.jpg"],
        "tree/1.jpg": FILES["tree/more/1.jpg"],
        "tree/copy.jpg": FILES["tree/copy.jpg"],
    }
    assert manifest(tmp_path / "out")["folders"]["50% / half"] == "50%25 %2F half"


def test_two_files_of_one_name_are_told_apart_by_content(collection: Collection, tmp_path: Path) -> None:
    decisions.relabel(collection, ["tree/1.jpg", "plank/1.png"], "tree")
    images = collection.images()
    images["key"] = images["key"].replace({"plank/1.png": "plank/1.JPG", "tree/copy.jpg": "tree/x/1.jpg"})
    collection.write(images, collection.rejects())
    export(collection, tmp_path / "out", name="unfiltered")
    ids = {key: sha(content)[:12] for key, content in FILES.items()}
    found = {name: content for name, content in files(tmp_path / "out").items() if name.startswith("tree/")}
    twice = FILES["tree/more/1.jpg"]
    assert found == {
        "tree/1.JPG": FILES["plank/1.png"],  # a file system may not tell it from 1.jpg
        f"tree/1-{ids['tree/1.jpg']}.jpg": FILES["tree/1.jpg"],
        f"tree/1-{ids['tree/more/1.jpg']}.jpg": twice,
        f"tree/1-{ids['tree/more/1.jpg']}-2.jpg": twice,
    }


def test_names_as_long_as_they_may_be_are_told_apart_too(tmp_path: Path) -> None:
    name = "ü" * 125 + ".jpg"
    for number in range(2):
        path = tmp_path / f"photos/tree/{number}" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(number))
    import_folder(tmp_path / "photos", tmp_path / "c")
    export(Collection.open(tmp_path / "c"), tmp_path / "out", name="unfiltered")
    names = [path.name for path in (tmp_path / "out/tree").iterdir()]
    assert len(names) == 2
    assert all(one.endswith(".jpg") for one in names)


@pytest.mark.parametrize("form", ["folder", "csv"])
def test_curate_import_reads_back_the_same_set(collection: Collection, tmp_path: Path, form: str) -> None:
    if form == "folder":
        decisions.relabel(collection, ["tree/1.jpg"], "boat (half)")  # a label that is a folder's name as it is
    done = export(collection, tmp_path / "out", form=form)
    source = tmp_path / "out" / ("images.csv" if form == "csv" else "")
    if form == "folder":
        (source / "manifest.json").unlink()
    import_folder(source, tmp_path / "again")
    again = training_set(Collection.open(tmp_path / "again"), "unfiltered")
    assert again.digest == done.digest


AWKWARD = (
    *("=cmd|' calc'!A0", "-plank", "@tree", "'=q", "=a.jpg", "-5", "a,b", '"c"'),
    *("a\x1b[2Jb", "two\nlines", "\u202egpj"),
)


@pytest.mark.parametrize("form", ["folder", "csv"])
def test_awkward_labels_and_names_are_exported_harmless(form: str, tmp_path: Path) -> None:
    for number, label in enumerate(AWKWARD):
        path = tmp_path / "photos" / label / f"{label}.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(number))
    import_folder(tmp_path / "photos", tmp_path / "c")
    done = export(Collection.open(tmp_path / "c"), tmp_path / "out", name="unfiltered", form=form)
    assert set(done.classes) == set(AWKWARD)
    assert all(is_seen(str(path.relative_to(tmp_path))) for path in (tmp_path / "out").rglob("*"))
    if form == "folder":
        return
    text = (tmp_path / "out/images.csv").read_text()
    assert all(map(is_seen, text.split("\n")))
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row if cell != "-5"]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@"))]
    summary = import_folder(tmp_path / "out/images.csv", tmp_path / "again")
    assert (summary.added, summary.rejects) == (len(AWKWARD), [])
    assert training_set(Collection.open(tmp_path / "again"), "unfiltered").digest == done.digest


def test_a_name_that_is_too_long_once_it_is_spelt_out_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "photos/tree" / f"{chr(27) * 200}.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(picture(1))
    import_folder(tmp_path / "photos", tmp_path / "c")
    export(Collection.open(tmp_path / "c"), tmp_path / "out", name="unfiltered")
    ((name),) = [path.name for path in (tmp_path / "out/tree").iterdir()]
    assert name.startswith("%1B%1B") and name.endswith(".jpg") and len(name) <= 255


def test_a_csv_names_files_where_they_are_with_official_splits(collection: Collection, tmp_path: Path) -> None:
    images = collection.images()
    images["official_split"] = ["train" if key.startswith("tree") else "test" for key in images["key"]]
    collection.write(images, collection.rejects())
    export(collection, tmp_path / "out", form="csv")
    with (tmp_path / "out/images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "split", "key", "id"]
    assert [row["key"] for row in rows] == list(training_set(collection, "filtered").images["key"])
    for row in rows:
        assert row["id"] == sha(Path(row["path"]).read_bytes())
        assert row["split"] == ("train" if row["key"].startswith("tree") else "test")
    assert set(files(tmp_path / "out")) == {"images.csv", "manifest.json"}


def test_webdataset_shards_hold_the_images_their_classes_and_what_is_known(
    collection: Collection, tmp_path: Path
) -> None:
    export(collection, tmp_path / "out", name="unfiltered", form="webdataset", shard_size=4)
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [shard.name for shard in shards] == ["shard-000000.tar", "shard-000001.tar"]
    labels, ids, samples = manifest(tmp_path / "out")["labels"], [], []
    for shard in shards:
        with tarfile.open(shard) as tar:
            members = tar.getmembers()
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
            contents = {member.name: read_member(tar, member) for member in members}
        samples.append(len(contents) // 3)
        for name in [name for name in contents if name.endswith(".json")]:
            stem, told = name.removesuffix(".json"), json.loads(contents[name])
            (image,) = (one for one in contents if one.startswith(stem) and one[8:] not in (".json", ".cls"))
            assert sha(contents[image]) == told["id"]
            form = Image.open(io.BytesIO(contents[image])).format
            assert form is not None
            assert form.lower().replace("jpeg", "jpg") == image[9:]
            assert labels[int(contents[f"{stem}.cls"])] == told["label"]
            ids.append((told["id"], told["key"]))
    assert samples == [4, 2]
    assert ids == sorted(ids)
    assert {key for _, key in ids} == set(FILES)


def test_the_order_in_webdataset_is_that_of_contents_whatever_the_keys(collection: Collection, tmp_path: Path) -> None:
    def order(out: Path) -> list[str]:
        with tarfile.open(out / "shard-000000.tar") as tar:
            return [json.loads(read_member(tar, member))["id"] for member in tar if member.name.endswith(".json")]

    export(collection, tmp_path / "out", name="unfiltered", form="webdataset")
    images = collection.images()
    images["key"] = images["key"].map(lambda key: key[::-1])
    collection.write(images, collection.rejects())
    export(collection, tmp_path / "renamed", name="unfiltered", form="webdataset")
    assert order(tmp_path / "out") == order(tmp_path / "renamed")


def test_fiftyone_s_format_is_written_as_it_is_documented(collection: Collection, tmp_path: Path) -> None:
    export(collection, tmp_path / "out", form="fiftyone")
    told = json.loads((tmp_path / "out/labels.json").read_text())
    data = {path.stem: path.read_bytes() for path in (tmp_path / "out/data").iterdir()}
    assert told["classes"] == manifest(tmp_path / "out")["labels"]
    assert {name: sha(content) for name, content in data.items()} == {
        name: label["attributes"]["content_id"] for name, label in told["labels"].items()
    }
    found = {label["attributes"]["key"]: told["classes"][label["label"]] for label in told["labels"].values()}
    images = training_set(collection, "filtered").images
    assert found == dict(zip(images["key"], images["label"], strict=True))


READER = """
import json, sys
import fiftyone as fo
from fiftyone.utils.data.importers import FiftyOneImageClassificationDatasetImporter as Importer
importer = Importer(dataset_dir=sys.argv[1])
importer.setup()
print(json.dumps([[path, label.label, label["key"]] for path, _, label in importer]))
"""


@pytest.mark.slow
@pytest.mark.app
def test_fiftyone_reads_it(collection: Collection, tmp_path: Path) -> None:
    if find_spec("fiftyone") is None:  # not imported: it would be bound to a database here, for all other tests
        pytest.skip("needs the extra app")
    export(collection, tmp_path / "out", form="fiftyone")
    quiet = os.environ | {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_DATABASE_DIR": str(tmp_path / "db")}
    command = [sys.executable, "-c", READER, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr
    images = training_set(collection, "filtered").images
    labels = dict(zip(images["key"], images["label"], strict=True))
    read = json.loads(done.stdout.splitlines()[-1])
    assert {key: label for _, label, key in read} == labels
    assert all(FILES[key] == Path(path).read_bytes() for path, _, key in read)


@pytest.mark.parametrize("form", [form for form in ALL if form not in ("csv", "webdataset")])
def test_links_are_the_collection_s_files(collection: Collection, tmp_path: Path, form: str) -> None:
    export(collection, tmp_path / "out", form=form, link=True)
    inodes = {path.stat().st_ino for path in (tmp_path / "c/images").rglob("*") if path.is_file()}
    linked = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".json"]
    assert len(linked) == 4
    assert {path.stat().st_ino for path in linked} <= inodes


# Whole or not at all


def test_a_set_with_a_file_that_is_gone_is_not_exported(collection: Collection, tmp_path: Path) -> None:
    (collection.root / "images/tree/1.jpg").unlink()
    for form in FORMATS:
        with pytest.raises(FewposeError, match=r"images/tree/1\.jpg of .*/c cannot be found; .* nothing was exported"):
            export(collection, tmp_path / "out", form=form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "photos"]


@pytest.mark.parametrize("form", [form for form in ALL if form != "csv"])
def test_a_file_with_other_bytes_than_the_set_s_is_not_exported(
    collection: Collection, tmp_path: Path, form: str
) -> None:
    (collection.root / "images/tree/1.jpg").write_bytes(picture(9))
    with pytest.raises(FewposeError, match=r"tree/1\.jpg has changed since it became part of the collection"):
        export(collection, tmp_path / "out", form=form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "photos"]


def test_nothing_is_written_into_a_folder_that_holds_something_or_into_the_collection(
    collection: Collection, tmp_path: Path
) -> None:
    before = files(collection.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "inside").symlink_to(collection.root)
    for out, words in {
        tmp_path / "full": "is not empty",
        tmp_path / "full/mine.txt": "is not empty",
        collection.root: "is a part of the collection",
        collection.root / "out": "is a part of the collection",
        tmp_path / "inside/out": "is a part of the collection",
    }.items():
        with pytest.raises(UsageError, match=words):
            export(collection, out)
    assert files(collection.root) == before
    assert files(tmp_path / "full") == {"mine.txt": b"mine"}


def test_an_empty_folder_is_filled(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    export(collection, tmp_path / "link")
    assert (tmp_path / "empty/manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "zip"}, "no format 'zip'; there are folder, csv, webdataset, fiftyone, coco"),
        ({"name": "best"}, "no training set 'best'"),
        ({"form": "csv", "link": True}, "--link makes hard links of single files"),
        ({"form": "webdataset", "shard_size": 0}, "a shard holds one image at least"),
    ],
)
def test_what_makes_no_sense_is_refused(
    collection: Collection, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export(collection, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_place_that_can_not_be_written_is_said(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match=r"cannot be written or read \(Not a directory\); nothing was exported"):
        export(collection, collection.root.parent / "photos/tree/1.jpg/out")


def test_an_empty_set_is_not_exported(collection: Collection, tmp_path: Path) -> None:
    decisions.drop(collection, list(FILES))
    with pytest.raises(FewposeError, match="holds no images; there is nothing to export"):
        export(collection, tmp_path / "out")


# Labels as folders


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("tree", "tree"),
        ("Ardha Chandrasana (half)", "Ardha Chandrasana (half)"),
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        (".git", "%2Egit"),
        ("end.", "end%2E"),
        ("trée", "trée"),
        ("a\tb", "a%09b"),
    ],
)
def test_labels_that_are_no_folder_names_are_made_so(label: str, name: str) -> None:
    assert folder_name(label) == name


labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(labels, labels)
def test_different_labels_have_different_folders_that_can_be_made(one: str, other: str) -> None:
    name = folder_name(one)
    assert not {"/", "\0"} & set(name)
    assert not name.startswith(".")
    assert (name == folder_name(other)) == (one == other)
