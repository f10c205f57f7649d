"""What was written down stays, whatever ended the run that wrote it."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.download.results.journal import Journal, Row
from curate.download.web.outcome import Outcome

ROWS = [
    Row(
        "http://a.example/1.jpg",
        Outcome.KEPT,
        status=200,
        final_url="http://cdn.a.example/1.jpg",
        time="2026-11-22T01:40:36Z",
        seconds=0.25,
        id="ab" * 32,
        bytes=12_345,
        width=640,
        height=480,
        format="JPEG",
        mode="RGB",
        frames=1,
    ),
    Row("http://a.example/2.jpg", Outcome.NOT_FOUND, status=404, time="2026-11-22T01:40:37Z"),
    Row("http://a.example/2.jpg", Outcome.TOO_SMALL, via="archive", width=20, height=30, limit=64, robots="noarchive"),
    Row("http://ü.example/a b?“c”", Outcome.STALLED, detail='say "木"\n\u2028 twice', attempts=3, seconds=45.001),
]


def by_link(rows: list[Row]) -> dict[tuple[str, str], Row]:
    return {(row.url, row.via): row for row in rows}


def written(path: Path, rows: list[Row]) -> bytes:
    with Journal.open(path) as journal:
        for row in rows:
            journal.append(row)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads.jsonl"


def test_rows_are_read_as_they_were_written(path: Path) -> None:
    content = written(path, ROWS)
    assert Journal.read(path).rows == by_link(ROWS)
    with Journal.open(path) as journal:
        assert journal.rows == by_link(ROWS)
        assert journal.damaged == 0
    assert path.read_bytes() == content


def test_a_row_is_one_short_line_without_defaults(path: Path) -> None:
    content = written(path, [ROWS[1], ROWS[3]])
    first, second = content.decode("ascii").splitlines()
    assert first == (
        '{"url":"http://a.example/2.jpg","outcome":"not found","status":404,"time":"2026-11-22T01:40:37Z",'
        '"checksum":"d2f1b839"}'
    )
    assert '"seconds":45.001' in second


def test_a_journal_that_nobody_wrote_is_empty_and_reading_makes_none(path: Path) -> None:
    assert Journal.read(path).rows == {}
    assert not path.exists()


texts = st.text(max_size=20)
counts = st.integers(0, 10**12)
any_row = st.builds(
    Row,
    url=texts,
    outcome=st.sampled_from(Outcome),
    via=st.sampled_from(["", "archive"]),
    detail=st.text(st.characters(), max_size=20),  # surrogates, too: a header may hold any byte
    attempts=counts,
    status=counts,
    final_url=texts,
    time=texts,
    seconds=st.floats(0, 1e6),
    robots=texts,
    id=st.sampled_from(["", "ab" * 32, "0" * 64]),
    bytes=counts,
    width=counts,
    height=counts,
    format=texts,
    mode=texts,
    frames=counts,
    limit=counts,
)


@pytest.mark.slow
@given(rows=st.lists(any_row, max_size=5))
def test_any_row_is_read_as_it_was_written(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "downloads.jsonl"
    written(path, rows)
    journal = Journal.read(path)
    assert journal.rows == by_link(rows)
    assert journal.damaged == 0


def test_the_last_row_of_a_link_counts_and_the_archives_is_another(path: Path) -> None:
    later = Row(ROWS[1].url, Outcome.KEPT, id="cd" * 32)
    written(path, [*ROWS, later])
    rows = Journal.read(path).rows
    assert rows[later.url, ""] == later
    assert rows[later.url, "archive"] == ROWS[2]


def test_rows_are_there_as_soon_as_they_are_appended(path: Path) -> None:
    with Journal.open(path) as journal:
        for number, row in enumerate(ROWS, 1):
            journal.append(row)
            assert journal.rows == by_link(ROWS[:number])
            assert Journal.read(path).rows == by_link(ROWS[:number])


@pytest.mark.slow
def test_cut_at_any_byte_the_whole_rows_stay_and_the_next_one_is_whole(path: Path) -> None:
    content = written(path, ROWS)
    new = Row("http://b.example/", Outcome.GONE, status=410)
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        whole = content[:end].count(b"\n")
        reader = Journal.read(path)
        assert reader.rows == by_link(ROWS[:whole]), end
        assert reader.damaged == 0
        assert path.stat().st_size == end  # a reader changes nothing
        written(path, [new])
        again = Journal.read(path)
        assert again.rows == by_link([*ROWS[:whole], new]), end
        assert again.damaged == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0" * 300,
        b"\xff\xfe{}",
        b'{"url":"http://a.exa',
        b"[]",
        b"7",
        b'{"url":"http://a.example/9"}',
        b'{"outcome":"gone"}',
        b'{"url":9,"outcome":"gone"}',
        b'{"url":"http://a.example/9","outcome":"gone","status":"410"}',
        b'{"url":"http://a.example/9","outcome":["gone"]}',
        b'{"url":"http://a.example/9","outcome":"of a newer version"}',
        b'{"url":"http://a.example/9","outcome":"gone","checksum":"00000000"}',
        b'{"url":"http://a.example/9","outcome":"gone","seconds":1e999}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_makes_no_row_is_counted_and_the_others_stand(line: bytes, path: Path) -> None:
    first, rest = written(path, ROWS).split(b"\n", 1)
    path.write_bytes(first + b"\n" + line + b"\n" + rest)
    with Journal.open(path) as journal:
        assert journal.rows == by_link(ROWS)
        assert (journal.damaged, journal.first_damaged) == (1, 2)
        assert journal.damage() == f"{path}, line 2: 1 damaged line passed over"


@pytest.mark.slow
def test_no_flipped_bit_makes_another_row(path: Path) -> None:
    whole = written(path, ROWS)
    said = set(by_link(ROWS).values())
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        journal = Journal.read(path)
        assert set(journal.rows.values()) <= said, place
        assert len(journal.rows) == len(ROWS) or journal.damaged or place == len(whole) - 1, place


def test_a_journal_from_before_checksums_is_read(path: Path) -> None:
    whole = written(path, ROWS)
    path.write_bytes(re.sub(rb',"checksum":"[0-9a-f]{8}"', b"", whole))
    assert b"checksum" not in path.read_bytes()
    assert Journal.read(path).rows == by_link(ROWS)


def test_fields_of_a_newer_version_are_passed_over(path: Path) -> None:
    path.write_bytes(b'{"url":"http://a.example/","outcome":"gone","colour":"blue","more":{"a":[1]}}\n')
    journal = Journal.read(path)
    assert list(journal.rows.values()) == [Row("http://a.example/", Outcome.GONE)]
    assert journal.damaged == 0


def test_a_full_disk_is_an_error_and_leaves_no_half_row(path: Path) -> None:
    program = """
import resource, signal, sys
from pathlib import Path
from curate.download.results.journal import Journal, Row
from curate.download.web.outcome import Outcome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit comes short, like on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
path = Path(sys.argv[1])
with Journal.open(path) as journal:
    for number in range(100):
        try:
            journal.append(Row(f"http://a.example/{number}", Outcome.GONE))
        except OSError as error:
            print(number, len(journal.rows), len(Journal.read(path).rows), path.read_bytes()[-1:])
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(Row("http://a.example/last", Outcome.GONE))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    number = int(done.stdout.split()[0])
    assert done.stdout == f"{number} {number} {number} b'\\n'\n"
    journal = Journal.read(path)
    assert 0 < number < 100
    assert len(journal.rows) == number + 1
    assert journal.damaged == 0


def test_a_disk_that_fails_at_once_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal.open(path) as journal:
        journal.append(ROWS[0])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                journal.append(ROWS[1])
        journal.append(ROWS[3])
        assert journal.rows == by_link([ROWS[0], ROWS[3]]) == Journal.read(path).rows


def test_a_journal_that_is_closed_or_only_read_takes_no_rows(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.append(ROWS[0])
    journal.close()
    for closed in (journal, Journal.read(path)):
        with pytest.raises(ValueError, match=r"downloads\.jsonl"):
            closed.append(ROWS[1])
        assert closed.rows == by_link(ROWS[:1])


def test_what_a_killed_process_had_appended_is_there(path: Path) -> None:
    program = """
import sys
from pathlib import Path
from curate.download.results.journal import Journal, Row
from curate.download.web.outcome import Outcome
with Journal.open(Path(sys.argv[1])) as journal:
    for number in range(len(journal.rows), 10**9):
        journal.append(Row(f"http://a.example/{number}", Outcome.NOT_FOUND, status=404))
        print(number, flush=True)
"""
    least = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(200)]
        process.kill()
        rest, _ = process.communicate()
        assert int(said[0]) >= least
        least = int((said + [line for line in rest.splitlines(keepends=True) if line.endswith("\n")])[-1]) + 1
        journal = Journal.read(path)
        assert journal.damaged == 0
        assert least <= len(journal.rows) <= least + 1
        assert {url for url, _ in journal.rows} == {f"http://a.example/{n}" for n in range(len(journal.rows))}


def test_a_reader_beside_the_writer_sees_whole_rows_only(path: Path) -> None:
    rows = [Row(f"http://a.example/{number}", Outcome.GONE) for number in range(2000)]
    with Journal.open(path) as journal:

        def write() -> None:
            for row in rows:
                journal.append(row)

        writer = threading.Thread(target=write)
        writer.start()
        while writer.is_alive():
            seen = Journal.read(path)
            assert seen.damaged == 0
            assert seen.rows == by_link(rows[: len(seen.rows)])
        writer.join()
    assert Journal.read(path).rows == by_link(rows)


def test_rows_are_synced_now_and_then_and_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    now = 1000.0
    monkeypatch.setattr("curate.download.results.journal.os.fsync", synced.append)
    monkeypatch.setattr("curate.download.results.journal.time.monotonic", lambda: now)
    with Journal.open(path) as journal:
        for number in range(20):
            now += 0.25
            journal.append(Row(f"http://a.example/{number}", Outcome.GONE))
        assert len(synced) == 4
    assert len(synced) == 5


@pytest.mark.slow
def test_a_hundred_thousand_rows_fit_in_little_memory(path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from curate.download.results.journal import Journal
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
journal = Journal.read(Path(sys.argv[1]))
print(len(journal.rows), peak() - before)
"""
    with path.open("w") as file:
        for number in range(100_000):
            url = f"http://host{number % 3000}.example.com/some/folder/yoga-pose-{number}.jpg"
            file.write(
                f'{{"url":"{url}","outcome":"kept","status":200,"final_url":"{url}",'
                f'"time":"2026-11-22T01:{number % 60}","seconds":0.{number},"id":"{number:064x}",'
                f'"bytes":{number},"width":640,"height":480,"format":"JPEG","mode":"RGB","frames":1}}\n'
            )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    count, megabytes = done.stdout.split()
    assert int(count) == 100_000
    assert float(megabytes) < 100
