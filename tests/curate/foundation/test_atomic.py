"""A file appears whole or not at all, whatever happens to the program that writes it."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.foundation import atomic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: object) -> object:
    """The same JSON value with the keys of each object in the opposite order."""
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [reordered(inner) for inner in value]
    return value


def test_the_content_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "new" / "folder" / "note.txt", "grüße\n")
    assert (tmp_path / "new" / "folder" / "note.txt").read_bytes() == "grüße\n".encode()
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["note.txt"]


def test_the_old_file_stays_until_the_writer_is_done(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    atomic.write_bytes(path, b"old")
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"half of the n")
        assert path.read_bytes() == b"old"
        # Writers choose a format by the suffix; a rename is one step only within one folder.
        assert temporary.suffix == ".parquet"
        assert temporary.parent == path.parent
    assert path.read_bytes() == b"half of the n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_writer_that_fails_midway_leaves_the_old_file_and_no_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "table.parquet"
    atomic.write_bytes(path, b"old")
    with pytest.raises(error), atomic.replacing(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), atomic.replacing(tmp_path / "record.json") as temporary:
        temporary.write_bytes(b"{")
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_taken_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        atomic.write_bytes(tmp_path / "taken", b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    atomic.write_json(path, {"trial": 1})
    before = path.read_bytes()
    code = """
import sys, time
from pathlib import Path
from curate.foundation import atomic
with atomic.replacing(Path(sys.argv[1])) as temporary, temporary.open("w") as file:
    file.write('{"trial": ')
    file.flush()
    print("half written", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half written\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    atomic.write_json(path, {"trial": 2})
    assert path.read_bytes() != before


def test_readers_see_one_whole_version_or_another(tmp_path: Path) -> None:
    path = tmp_path / "status"
    code = """
import sys
from pathlib import Path
from curate.foundation import atomic
for _ in range(30):
    atomic.write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * 300_000)
"""
    atomic.write_bytes(path, b"0" * 300_000)
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        seen.add((len(content), content[:1], len(set(content))))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {(300_000, letter, 1) for letter in (b"0", b"a", b"b")}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664), (0o077, 0o600)])
def test_mode_bits_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "shared.json"
    code = (
        "import sys; from pathlib import Path; from curate.foundation import atomic; "
        "atomic.write_json(Path(sys.argv[1]), {})"
    )
    # In a process of its own: the umask belongs to the whole process, and pytest has other things to write.
    subprocess.run([sys.executable, "-c", code, str(path)], umask=umask, check=True)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(value=JSON)
def test_equal_json_values_are_equal_bytes(tmp_path: Path, value: object) -> None:
    atomic.write_json(tmp_path / "one.json", value)
    atomic.write_json(tmp_path / "other.json", reordered(value))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"path": Path()}, {"a": 1, 2: "b"}])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path: Path, value: object) -> None:
    path = tmp_path / "record.json"
    atomic.write_json(path, {"trial": 1})
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        atomic.write_json(path, value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    """Where a write comes short, the system names no file; in the folder's place it names the temporary one."""
    code = """
import resource, signal, sys
from pathlib import Path
from curate.foundation import atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails, like on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic.write_bytes(Path(sys.argv[1]), b"x" * 5000)
except OSError as error:
    print(error.filename)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'model'}\n"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        atomic.write_bytes(tmp_path / "folder", b"new")
    assert caught.value.filename == str(tmp_path / "folder")
