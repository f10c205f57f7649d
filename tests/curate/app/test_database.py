"""Which database the App uses, and that it ends with the App, or is found again."""

import os
import signal
import stat
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from curate.app import database
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from tests.curate.app.conftest import Programs, line_with, mongods

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_installed")]

CONNECT = """
import sys
from pathlib import Path
from curate.app import database
from curate.collection.directory import Collection
opened = database.connect(Collection.open(Path(sys.argv[1])), share="share" in sys.argv)
print("uri", opened.uri, flush=True)
"""
WAIT = "sys.stdin.read()\n"
WRITE_FOR_EVER = """
from curate.app import fiftyone_library
numbers = fiftyone_library.fo().Dataset("numbers", persistent=True)
for number in range(100_000):
    numbers.add_sample(fiftyone_library.fo().Sample(filepath=f"/{number}.jpg", tags=["drop"]))
    print("confirmed", number, flush=True)
"""
COUNT = """
from curate.app import fiftyone_library
from curate.app.dataset import _repaired
numbers = _repaired(fiftyone_library.fo().load_dataset("numbers"))
print("count", len(numbers), len(numbers.match_tags("drop")), numbers.count("id"), flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Collection.create(tmp_path / "yoga").root


def test_a_database_that_does_not_answer_is_said_within_seconds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://ann:secret@127.0.0.1:1/")
    start = time.monotonic()
    with pytest.raises(
        FewposeError, match=r"no MongoDB answers at mongodb://\.\.\.@127\.0\.0\.1:1/ within 2 s"
    ) as said:
        database.connect(Collection.open(root))
    assert time.monotonic() - start < 4
    assert "secret" not in str(said.value)


@pytest.mark.slow
def test_our_database_listens_where_its_user_alone_may_go_and_ends_with_the_process(
    root: Path, program: Programs
) -> None:
    process = program.start(CONNECT + WAIT, root)
    uri = line_with(process, "uri").split()[1]
    socket = Path(unquote(uri.removeprefix("mongodb://").split("/?")[0]))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert len(mongods(root)) == 1
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert mongods(root) == []
    assert not socket.parent.exists()


@pytest.mark.slow
def test_a_second_one_is_told_who_has_the_collection_open_and_a_sync_may_join(root: Path, program: Programs) -> None:
    first = program.start(CONNECT + WAIT, root)
    uri = line_with(first, "uri")
    second = program.start(CONNECT, root)
    assert f"open in another curate app (process {first.pid})" in line_with(second, "FewposeError:")
    joined = program.start(CONNECT, root, "share")
    assert line_with(joined, "uri") == uri
    joined.wait(timeout=30)
    assert len(mongods(root)) == 1  # the guest leaves it running


@pytest.mark.parametrize("mongod_too", [False, True])
def test_what_was_confirmed_before_a_kill_is_there_after_it(root: Path, program: Programs, mongod_too: bool) -> None:
    writer = program.start(CONNECT + WRITE_FOR_EVER, root)
    while int(line_with(writer, "confirmed").split()[1]) < 50:
        pass
    [left_over] = mongods(root)
    if mongod_too:
        os.kill(left_over, signal.SIGKILL)
    writer.kill()
    out, _ = writer.communicate()
    confirmed = [int(line.split()[1]) for line in out.splitlines() if line.startswith("confirmed")]
    reader = program.start(CONNECT + COUNT, root)
    counted = [int(number) for number in line_with(reader, "count").split()[1:]]
    reader.wait(timeout=30)
    assert counted == [counted[0]] * 3
    assert counted[0] >= max(confirmed, default=50) + 1
    assert mongods(root) == []  # neither the old one nor the new


def test_a_folder_of_the_users_choice_is_used(root: Path, tmp_path: Path, program: Programs) -> None:
    program.environment = program.environment | {"FIFTYONE_DATABASE_DIR": str(tmp_path / "mine")}
    process = program.start(CONNECT + WAIT, root)
    line_with(process, "uri")
    assert len(mongods(tmp_path)) == 1
    process.communicate(timeout=30)
    assert not (root / "cache" / "fiftyone" / "db").exists()
