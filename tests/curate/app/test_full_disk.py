"""A full disk under the App, MongoDB's files and ours: one sentence, and no tag is lost."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from tests.curate.app.conftest import Programs, line_with, mongods
from tests.curate.app.test_launch import MODEL, TAG, ended
from tests.disk import Filler, a_disk

pytestmark = [pytest.mark.app, pytest.mark.whole, pytest.mark.usefixtures("fiftyone_installed")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    with a_disk(place, "160m"):
        yield place


def refusal(said: str) -> str:
    """The one sentence of a command that has failed."""
    assert "Traceback" not in said
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return error


def said_until(process: subprocess.Popen[str], text: str) -> str:
    """What a process prints up to the line with `text`, or all of it where it ends without one."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            break
    return said


@pytest.mark.parametrize("room", [0, 1 << 20, 17 << 20])
def test_the_app_does_not_start_on_a_full_disk_and_does_when_there_is_room(
    disk: Path, collection: Collection, program: Programs, room: int
) -> None:
    root = Path(shutil.copytree(collection.root, disk / "collection"))
    filler = Filler(disk)
    filler.leave(room)
    app = program.curate("app", root, *MODEL)
    said = said_until(app, "the App is at")
    if room > 1 << 20 and "the App is at" in said:  # what MongoDB takes in advance depends on when it looks
        app.send_signal(signal.SIGINT)
        assert "Traceback" not in ended(app)
    else:
        assert str(disk) in refusal(said)
        assert "make room" in refusal(said)
        assert app.wait(timeout=60) == 1
    filler.remove()
    app = program.curate("app", root, *MODEL)
    line_with(app, "the App is at")
    app.send_signal(signal.SIGINT)
    ended(app)
    assert app.returncode == 0
    assert mongods(root) == []


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_tags_outlive_a_disk_that_fills_while_the_app_is_open(
    disk: Path, collection: Collection, program: Programs, room: int
) -> None:
    root = Path(shutil.copytree(collection.root, disk / "collection"))
    filler = Filler(disk)
    app = program.curate("app", root, *MODEL)
    line_with(app, "the App is at")
    ended(program.start(TAG, root, "tree/1.png", "drop:blurred"))
    filler.leave(room)
    confirmed = "tagged" in ended(program.start(TAG, root, "tree/2.png", "drop:dark"))
    app.send_signal(signal.SIGINT)
    said = ended(app)
    assert "Traceback" not in said
    if app.returncode:
        assert str(disk) in refusal(said)
        assert "make room and give the same command again: no tag" in refusal(said)
        assert app.returncode == 1
    filler.remove()
    ended(program.curate("sync", root, "--yes"))
    decided = {entry.key for entry in Ledger(Collection(root)).entries}
    assert decided == {"tree/1.png", *(("tree/2.png",) if confirmed else ())}
    assert mongods(root) == []
