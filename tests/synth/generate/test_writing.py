import errno
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from synth.generate import provenance
from synth.generate.image_job import Control, ImageJob, Made, Source
from synth.generate.writing import UNFINISHED, Became, Done, Writer, path

FACTS = {"generator": "mannequin", "settings": "abc"}
PICTURE = Image.linear_gradient("L").resize((32, 24)).convert("RGB")
POINTS = tuple((0.1, number / 20, 2) for number in range(17))


def job(number: int = 0, ending: str = "png") -> ImageJob:
    return ImageJob("tree", number, f"tree/synthetic-abc-{number:05d}.{ending}", 7, "a tree, vṛkṣāsana 树式", "blurry")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / UNFINISHED).mkdir()
    return tmp_path


def write(root: Path, *made: Made, kind: str = "png") -> list[Done]:
    with Writer(Collection(root), FACTS, kind) as writer:
        for each in made:
            writer.write(each)
        return writer.finish()


def whole(root: Path) -> list[str]:
    """The files of a collection, none of which is half of one."""
    assert list((root / UNFINISHED).iterdir()) == []
    found = sorted(file for file in (root / "images").rglob("*") if file.is_file())
    for file in found:
        if file.suffix == ".json":
            json.loads(file.read_bytes())
        else:
            Image.open(file).load()
    return [file.name for file in found]


@pytest.mark.parametrize(("kind", "ending"), [("png", "png"), ("jpeg", "jpg")])
def test_the_record_is_in_the_file_and_beside_it(root: Path, kind: str, ending: str) -> None:
    made = job(3, ending)
    assert write(root, Made(made, PICTURE), kind=kind) == [Done(made.key, Became.MADE)]
    record = provenance.read(path(Collection(root), made))
    assert record == {
        **FACTS,
        "key": made.key,
        "label": "tree",
        "index": "3",
        "prompt": made.prompt,
        "negative_prompt": "blurry",
        "seed": "7",
        "size": "32x24",
    }
    assert json.loads(provenance.sidecar(path(Collection(root), made)).read_bytes()) == record
    with Image.open(path(Collection(root), made)) as image:
        assert image.format == kind.upper()
        difference = np.abs(np.asarray(image, np.int64) - np.asarray(PICTURE, np.int64))
    assert difference.max() == 0 if kind == "png" else difference.mean() < 2


def test_what_it_was_made_from_and_where_its_joints_are(root: Path) -> None:
    made = ImageJob(
        "a", 0, "a/0.png", 1, source=Source("f00", Path("real.jpg")), control=Control("pose tree 3", POINTS)
    )
    write(root, Made(made, PICTURE, np.array([[1.234, 5.678, 2]] * 17)))
    record = provenance.read(path(Collection(root), made))
    assert (record["made_from"], record["control"]) == ("f00", "pose tree 3")
    assert "prompt" not in record
    sidecar = json.loads(provenance.sidecar(path(Collection(root), made)).read_bytes())
    assert sidecar["keypoints"] == [[1.23, 5.68, 2]] * 17
    assert sidecar["control_keypoints"] == [list(point) for point in POINTS]


def test_what_was_refused_has_no_file(root: Path) -> None:
    assert write(root, Made(job(), None)) == [Done(job().key, Became.REFUSED)]
    assert not (root / "images").exists()


@pytest.mark.parametrize("links", [True, False])
def test_what_another_program_put_there_stays(root: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    theirs = path(Collection(root), job(1))
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    done = write(root, Made(job(0), PICTURE), Made(job(1), PICTURE))
    assert [each.became for each in done] == [Became.MADE, Became.IN_THE_WAY]
    assert theirs.read_bytes() == b"theirs"
    assert provenance.read(path(Collection(root), job(0)))["index"] == "0"


def test_a_sidecar_without_its_image_is_written_anew_but_never_another_file(root: Path) -> None:
    sidecar = provenance.sidecar(path(Collection(root), job()))
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text('{"key": "tree/else.png"}')
    with pytest.raises(FewposeError, match=r"synthetic-abc-00000\.json is in the way: move it"):
        write(root, Made(job(), PICTURE))
    assert sidecar.read_text() == '{"key": "tree/else.png"}'
    sidecar.write_text(json.dumps({"key": job().key}))
    write(root, Made(job(), PICTURE))
    assert json.loads(sidecar.read_bytes())["seed"] == "7"


def test_a_full_disk_stops_it_and_leaves_what_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = threading.Semaphore(5)  # two images with their sidecars, and half of the next
    real_write = os.write

    def full(descriptor: int, content: memoryview) -> int:
        if not room.acquire(blocking=False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FewposeError, match=r"cannot write .*No space left on device.*the same command goes on"):
        write(root, *(Made(job(number), PICTURE) for number in range(8)))
    names = whole(root)
    assert len(names) == 5
    images = {name.removesuffix(".png") for name in names if name.endswith(".png")}
    assert images <= {name.removesuffix(".json") for name in names}


@pytest.mark.slow
def test_those_that_wait_are_few_however_slow_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: slow.wait())
    given: list[int] = []

    def give() -> None:
        with Writer(Collection(root), FACTS, "png") as writer:
            for number in range(60):
                writer.write(Made(job(number), PICTURE))
                given.append(number)

    giving = threading.Thread(target=give)
    giving.start()
    time.sleep(0.5)
    assert len(given) == 16
    slow.set()
    giving.join()
    assert len(given) == 60
    assert len(whole(root)) == 2 * 60
