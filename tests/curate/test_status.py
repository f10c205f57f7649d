"""What `curate` says at the terminal, and how it ends."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate import cli
from curate.collection.directory import Collection
from curate.download.lists.links import Link
from curate.download.results import pending
from curate.download.results.journal import Journal, Row
from curate.download.web.outcome import Outcome
from curate.images.decoding import DEFAULT_LIMITS
from curate.importing.importer import import_folder
from curate.pose import keypoints
from curate.status import People, conflicts, status
from tests.curate.known import Known


def photo(seed: int) -> bytes:
    noise = np.random.default_rng(seed).normal(size=(40, 48, 3)).cumsum(0).cumsum(1)
    file = io.BytesIO()
    Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes, one picture in both of them, and rejects of two causes."""
    root = tmp_path / "photos"
    for key, content in {
        "tree/1.jpg": photo(1),
        "tree/2.jpg": photo(2),
        "plank/2.jpg": photo(2),
        "plank/[b]esc\x1b[31m.jpg": b"",
        "plank/a.txt": b"text",
        "plank/b.txt": b"text",
    }.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(content)
    return root


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command `curate` with these arguments."""

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.app()
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return call


@pytest.mark.slow
def test_a_status_counts_what_there_is(source: Path, tmp_path: Path) -> None:
    found = status(import_folder(source, tmp_path / "c").collection)
    assert (found.images, found.classes, found.sources, found.linked) == (3, {"plank": 1, "tree": 2}, {"import": 3}, 0)
    assert (found.groups, found.copies, found.largest_group) == (1, 2, 2)
    assert [(conflict.keys, conflict.labels) for conflict in found.conflicts] == [
        (["plank/2.jpg", "tree/2.jpg"], ["plank", "tree"])
    ]
    assert [(rejects.cause, rejects.count) for rejects in found.rejects] == [("not an image", 2), ("empty file", 1)]
    assert found.rejects[0].first == ["plank/a.txt", "plank/b.txt"]
    assert found.caches["signatures"] > 0


def test_an_empty_collection_has_a_status(tmp_path: Path, run: Run) -> None:
    found = status(Collection.create(tmp_path / "c"))
    assert (found.images, found.classes, found.groups, found.largest_group, found.conflicts) == (0, {}, 0, 0, [])
    assert run("status", tmp_path / "c").returncode == 0


def test_copies_in_one_class_are_no_conflict(source: Path, tmp_path: Path) -> None:
    import_folder(source, tmp_path / "c")
    images = Collection(tmp_path / "c").images()
    assert conflicts(images[images["label"] == "tree"]) == []


def test_import_says_how_many_what_and_where(source: Path, tmp_path: Path, run: Run) -> None:
    done = run("import", source, tmp_path / "c")
    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    said = " ".join(done.stdout.split())
    assert f"{tmp_path}/c: 3 images in 2 classes (3 added)" in said
    assert "copies: 2 images are 1 pictures" in said
    assert "conflict: the same bytes as plank and as tree: plank/2.jpg, tree/2.jpg" in said
    assert f"rejects: 3, all in {tmp_path}/c/rejects.parquet" in said
    assert "not an image 2 plank/a.txt, plank/b.txt" in said
    assert "plank/[b]esc\\x1b[31m.jpg" in said  # named in full, and nothing of it reaches the terminal
    assert "\x1b" not in done.stdout
    again = run("import", source, tmp_path / "c")
    assert "(0 added, 3 were there already)" in " ".join(again.stdout.split())


def test_import_names_what_it_kept_as_it_was(source: Path, tmp_path: Path, run: Run) -> None:
    run("import", source, tmp_path / "c")
    for number in range(5):
        (source / f"tree/more{number}.jpg").write_bytes(photo(10 + number))
    run("import", source, tmp_path / "c")
    for number in range(5):
        (source / f"tree/more{number}.jpg").write_bytes(photo(20 + number))
    said = run("import", source, tmp_path / "c").stdout
    assert said.count("kept the old") == 3
    assert "and 2 more that differ" in said


def test_status_for_scripts_is_json(source: Path, tmp_path: Path, run: Run) -> None:
    found = status(import_folder(source, tmp_path / "c").collection)
    done = run("status", tmp_path / "c", "--json")
    assert json.loads(done.stdout) == json.loads(json.dumps(found.json()))
    assert done.stderr == ""


def test_status_for_people_has_the_classes(source: Path, tmp_path: Path, run: Run) -> None:
    import_folder(source, tmp_path / "c", link=True)
    said = " ".join(run("status", tmp_path / "c").stdout.split())
    assert "3 images (3 by import, 3 of them linked)" in said
    assert "plank 1 tree 2" in said
    assert "signatures 0.0" in said


def test_status_counts_people_where_some_were_looked_for(source: Path, tmp_path: Path, run: Run) -> None:
    collection = import_folder(source, tmp_path / "c").collection
    assert status(collection).people is None
    assert "keypoints" not in run("status", collection.root).stdout
    images = collection.images().drop_duplicates("id").reset_index(drop=True)
    gone = images.assign(id="f" * 64)  # images that the collection no longer has do not count
    found = np.full((2, 3, keypoints.WIDTH), np.nan, np.float32)
    found[0, :2] = 0.5
    several_and_nobody = keypoints.table_of(images, found, Known())
    keypoints.write(collection, pd.concat([several_and_nobody, keypoints.table_of(gone[:1], found[:1], Known())]))
    assert status(collection).people == People(2, "blazepose-full", one=0, several=1, nobody=1)
    said = " ".join(run("status", collection.root).stdout.split())
    assert "keypoints: 2 images looked at by blazepose-full: 0 with one person, 1 with several, 1 with nobody" in said
    assert json.loads(run("status", collection.root, "--json").stdout)["people"]["several"] == 1


def test_status_says_that_keypoints_are_damaged(source: Path, tmp_path: Path, run: Run) -> None:
    collection = import_folder(source, tmp_path / "c").collection
    images = collection.images().drop_duplicates("id").reset_index(drop=True)
    nobody = np.full((len(images), 1, keypoints.WIDTH), np.nan, np.float32)
    keypoints.write(collection, keypoints.table_of(images, nobody, Known()))
    file = collection.root / keypoints.TABLE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    done = run("status", collection.root)
    assert done.returncode == 1
    assert f"curate pose {collection.root} makes it again" in " ".join(done.stderr.split())
    file.unlink()
    assert run("status", collection.root).returncode == 0


@pytest.fixture
def downloaded(source: Path, tmp_path: Path) -> Collection:
    """Imported photographs, and links of twelve hosts: one kept and one dropped of each, the last host's wait."""
    import_folder(source, tmp_path / "c")
    collection = Collection.open(tmp_path / "c")
    urls = [f"http://host{n % 12:02}.org/{n}.jpg" for n in range(24)]
    labels = ["tree", "cobra [seal]"] * 12
    links = [
        Link(f"{label}/link{n}.jpg", label, url, "", "list.txt", n)
        for n, (label, url) in enumerate(zip(labels, urls, strict=True))
    ]
    pending.remember(collection, links)
    with Journal.open(collection.root / "downloads.jsonl") as journal:
        for n, url in enumerate(urls):
            if n % 12 != 11:
                journal.append(Row(url=url, outcome=Outcome.KEPT if n < 12 else Outcome.NOT_FOUND))
    return collection


def test_status_says_how_a_download_stands(downloaded: Collection, run: Run) -> None:
    said = [" ".join(line.split()) for line in run("status", downloaded.root).stdout.splitlines()]
    assert "links: 24 listed, 11 kept, 11 dropped, 2 waiting" in said
    first = said.index("class images links kept")
    assert said[first + 1 : first + 4] == ["cobra [seal] 0 12 42%", "plank 1", "tree 2 12 50%"]
    assert "not found 11 cobra [seal]/link13.jpg" in said
    hosts = said.index("host links kept dropped mostly")
    assert said[hosts + 1 : hosts + 11] == [f"host{n:02}.org 2 1 1 not found" for n in range(10)]
    assert "host10.org" not in " ".join(said)
    assert "rejects: 3, all in" in " ".join(said)  # what could not be imported


def test_status_for_scripts_has_all_hosts(downloaded: Collection, run: Run) -> None:
    links = json.loads(run("status", downloaded.root, "--json").stdout)["links"]
    assert (links["links"], links["kept"], links["dropped"], links["waiting"]) == (24, 11, 11, 2)
    assert [host["host"] for host in links["hosts"]] == [f"host{n:02}.org" for n in range(12)]
    assert [one["label"] for one in links["classes"]] == ["cobra [seal]", "tree"]
    assert [(cause["cause"], cause["count"]) for cause in links["causes"]] == [("not found", 11)]


def test_a_dropped_link_is_counted_once(downloaded: Collection, run: Run) -> None:
    rejects = pd.DataFrame([("tree/link12.jpg", "not found", "", ""), ("tree/x.jpg", "bad link", "", "")])
    downloaded.write(downloaded.images(), rejects.set_axis(["key", "cause", "detail", "file"], axis=1))
    said = " ".join(run("status", downloaded.root).stdout.split())
    assert said.count("not found 11") == 1
    assert "rejects: 1, all in" in said
    assert "bad link 1 tree/x.jpg" in said


def test_a_collection_without_links_says_nothing_of_them(source: Path, tmp_path: Path, run: Run) -> None:
    import_folder(source, tmp_path / "c")
    assert "links" not in run("status", tmp_path / "c").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["import", "absent", "c"], 2, "absent does not exist"),
        (["import", "empty", "c"], 1, "no files"),
        (["status", "empty"], 2, "not a collection"),
        (["import", "empty", "c", "--max-pixels", "1000000000"], 2, "limit on pixels"),
        (["import", "empty", "c", "--workers", "0"], 2, "workers"),
        (["import", "empty"], 2, ""),
        (["nonsense"], 2, ""),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_options_reach_the_import(source: Path, tmp_path: Path, run: Run) -> None:
    done = run("import", source, tmp_path / "c", "--link", "--max-bytes", "600", "--workers", "1")
    assert done.returncode == 1
    assert "3 too many bytes" in done.stderr
    done = run("import", source, tmp_path / "c", "--max-pixels", "100")
    assert "3 too many pixels" in done.stderr


@pytest.mark.parametrize("command", ["import", "status"])
def test_the_help_of_every_command_has_an_example(command: str, run: Run) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: curate {command}" in done.stdout


def test_the_limits_of_the_command_are_those_of_the_library(run: Run) -> None:
    said = " ".join(run("import", "--help").stdout.split())
    assert f"default: {DEFAULT_LIMITS.max_pixels}" in said
    assert f"default: {DEFAULT_LIMITS.max_bytes}" in said
    assert callable(cli.app)
