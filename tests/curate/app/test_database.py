"""Which database the App uses, and that it ends with the App, or is found again."""

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote

import psutil
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
    (mongod,) = mongods(root)
    listens = psutil.Process(mongod).net_connections("all")
    assert {Path(str(each.laddr)).parent for each in listens if each.laddr} == {socket.parent}  # nowhere else
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


def said_by(process: "subprocess.Popen[str]", text: str) -> str:
    said = line_with(process, text)
    process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    return said


def advised(said: str) -> None:
    """Do what an error says: its `mv A B`."""
    subprocess.run(["sh", "-c", said.split("with a new one: ")[1].split(" (all of it")[0]], check=True)


def tagged(root: Path, program: Programs) -> Path:
    """The folder of a database that was used."""
    process = program.start(CONNECT + "from curate.app.fiftyone_library import fo\nfo().Dataset('x')", root)
    line_with(process, "uri")
    process.communicate(timeout=60)
    return root / "cache" / "fiftyone" / "db"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, b"garbage" * 1000) for name in ("WiredTiger.wt", "WiredTiger.turtle", "_mdb_catalog.wt")),
        ("WiredTiger.wt", b""),
    ],
)
def test_garbage_in_its_files_is_said_and_the_advice_makes_a_new_one_and_keeps_the_old(
    tmp_path: Path, program: Programs, name: str, damage: bytes
) -> None:
    root = Collection.create(tmp_path / "yoga of 'x'; $(false)").root
    folder = tagged(root, program)
    (folder / name).write_bytes(damage)
    advised(said_by(program.curate("sync", root), "MongoDB did not start"))
    assert (folder.with_name("db.damaged") / name).read_bytes() == damage
    process = program.start(CONNECT, root)
    line_with(process, "uri")


@pytest.mark.slow
def test_a_long_tmpdir_is_no_trouble(root: Path, tmp_path: Path, program: Programs) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    program.environment = program.environment | {"TMPDIR": str(long)}
    process = program.start(CONNECT, root)
    line_with(process, "uri")
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_database_that_came_with_somebody_elses_collection_is_not_opened(
    root: Path, tmp_path: Path, program: Programs
) -> None:
    tagged(root, program)
    copy = tmp_path / "received"
    shutil.copytree(root, copy)
    said = said_by(program.curate("sync", copy), "didn't make here")
    assert mongods(copy) == []
    program.environment = program.environment | {"FEWPOSE_TRUST_DATABASE": "1"}
    line_with(program.start(CONNECT, copy), "uri")
    assert "FEWPOSE_TRUST_DATABASE=1, once" in said
    del program.environment["FEWPOSE_TRUST_DATABASE"]
    process = program.start(CONNECT, copy)
    line_with(process, "uri")
    process.communicate(timeout=60)
    shutil.rmtree(copy)
    shutil.copytree(root, copy)  # another one, at the same place
    said_by(program.curate("sync", copy), "didn't make here")
    (copy / "cache" / "fiftyone" / "db").rename(copy / "cache" / "fiftyone" / "theirs")
    line_with(program.start(CONNECT, copy), "uri")


@pytest.mark.slow
def test_a_plugin_that_came_with_a_collection_is_not_run(root: Path, tmp_path: Path, program: Programs) -> None:
    theirs = root / "cache" / "fiftyone" / "plugins" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "fiftyone.yml").write_text('name: "@evil/plugin"\noperators: [x]\n')
    (theirs / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef register(plugin): pass\n")
    process = program.start(CONNECT + OPERATORS, root)
    assert "@fewpose/curation/drop" in line_with(process, "operators")
    assert not (tmp_path / "ran").exists()


OPERATORS = """
from curate.app import fiftyone_library
print("operators", [operator.uri for operator in fiftyone_library.part("operators").list_operators()], flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"default_app_port": "abc"}', b"\xff", b"[" * 100_000])
def test_broken_settings_of_fiftyone_are_named_and_the_advice_holds(
    root: Path, tmp_path: Path, program: Programs, content: bytes
) -> None:
    file = tmp_path / "home" / ".fiftyone" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    program.environment = program.environment | {"HOME": str(tmp_path / "home")}
    process = program.curate("sync", root)
    said = said_by(process, "error:")
    assert str(file.parent) in said
    assert process.returncode == 2
    file.rename(file.with_suffix(".broken"))
    line_with(program.start(CONNECT, root), "uri")


@pytest.mark.slow
def test_a_wrong_setting_in_the_environment_is_named(root: Path, program: Programs) -> None:
    program.environment = program.environment | {"FIFTYONE_DEFAULT_APP_PORT": "abc"}
    process = program.curate("sync", root)
    assert "FIFTYONE_DEFAULT_APP_PORT=abc" in said_by(process, "error:")
    assert process.returncode == 2


def test_a_folder_of_the_users_choice_is_used(root: Path, tmp_path: Path, program: Programs) -> None:
    program.environment = program.environment | {"FIFTYONE_DATABASE_DIR": str(tmp_path / "mine")}
    process = program.start(CONNECT + WAIT, root)
    line_with(process, "uri")
    assert len(mongods(tmp_path)) == 1
    process.communicate(timeout=30)
    assert not (root / "cache" / "fiftyone" / "db").exists()


@pytest.mark.slow
def test_a_database_that_another_program_has_open_is_left_running(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FIFTYONE_DATABASE_DIR may name FiftyOne's own folder while FiftyOne runs: its mongod is none of ours."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(folder))
    # As FiftyOne starts one by itself.
    listen = ("--logpath", tmp_path / "log", "--port", "0", "--nounixsocket")
    command: list[str | Path] = [database.mongod(), "--dbpath", folder, *listen]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as theirs:
        try:
            limit = time.monotonic() + 60
            lock = folder / "mongod.lock"
            while not (lock.exists() and lock.read_text().strip()):
                assert time.monotonic() < limit
                time.sleep(0.1)
            with pytest.raises(FewposeError, match=rf"another program \(process {theirs.pid}: mongod\) works with"):
                database.connect(Collection.open(root))
            assert theirs.poll() is None
        finally:
            theirs.terminate()
