"""The engine on real processes, against a real server that counts."""

import array
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import termios
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from benchmarks.web import serving
from curate.download.engines.shards import MakeFetch, ShardedEngine
from curate.download.engines.shards import on_processes as engine_of
from curate.download.run import download, engine_for, on_processes, on_threads
from curate.download.web.job import Job, Result
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError
from curate.workers.interrupts import without_ctrl_c
from curate.workers.settings import WorkerSettings
from tests.curate.download.counting import (
    BRIEFLY,
    Unreadable,
    Web,
    answer,
    counting,
    drain,
    each_of,
    make_dead,
    make_dead_once,
    make_fetch,
    make_nothing,
    make_report,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
SETTINGS = Settings(connections=16, per_site=3, spacing=0.0)
ONE = replace(SETTINGS, connections=8)  # so few that they are one process's

Living = Callable[[], list[BaseProcess]]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@contextmanager
def running(make: MakeFetch = make_fetch, settings: Settings = SETTINGS) -> Iterator[ShardedEngine]:
    engine = engine_of(make, settings, 2)
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def counted() -> Iterator[Web]:
    with counting() as web:
        yield web


@pytest.fixture
def web(counted: Web) -> Web:
    """It has counted nothing."""
    counted.asked.clear()
    counted.most.clear()
    return counted


@pytest.fixture(scope="module")
def engine() -> Iterator[ShardedEngine]:
    """Of tests that leave it idle, and alive."""
    with running() as engine:
        yield engine


@pytest.fixture
def living() -> Living:
    """The processes that this test started and that have not ended."""
    before = multiprocessing.active_children()
    return lambda: [process for process in multiprocessing.active_children() if process not in before]


def pids(results: list[Result]) -> set[str]:
    return {answer(result).detail for result in results}


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def unread(engine: ShardedEngine) -> int:
    """Bytes that its worker said and that nobody read."""
    count = array.array("i", [0])
    pipe = engine._shards[0].handle.pipe  # type: ignore[attr-defined]  # of a process
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, count)
    return count[0]


def test_two_processes_work_and_every_limit_holds_across_them(engine: ShardedEngine, web: Web) -> None:
    jobs = [web.job(host, f"{number}.jpg") for number in range(20) for host in range(1, 21)]
    jobs += [web.job(1, f"more/{number}.jpg") for number in range(60)]
    for each in jobs:
        engine.submit(each)
    assert engine.counts().waiting == len(jobs)
    results = drain(engine)
    assert Counter(result.job for result in results) == Counter(jobs)
    assert all(answer(result).content.decode() in result.job.url for result in results)
    workers = defaultdict(set)
    for result in results:
        workers[result.job.url.split("/")[2]].add(answer(result).detail)
    assert {len(each) for each in workers.values()} == {1}  # a site is one worker's
    assert len(pids(results) - {str(os.getpid())}) == 2
    assert set(web.asked.values()) == {1}
    together = web.most.pop("")
    assert together <= SETTINGS.connections
    assert max(web.most.values()) == SETTINGS.per_site


def test_delays_and_second_submissions_are_as_in_one_process(engine: ShardedEngine, web: Web) -> None:
    late, soon = web.job(1, "late.jpg"), web.job(2, "soon.jpg")
    began = time.monotonic()
    engine.submit(late, delay=1.0)
    engine.submit(soon)
    with pytest.raises(ValueError, match=r"soon\.jpg"):
        engine.submit(soon)
    assert [result.job for result in drain(engine)] == [soon, late]
    assert time.monotonic() - began >= 1.0
    engine.submit(soon)
    assert [result.job for result in drain(engine)] == [soon]


def test_pictures_that_exceed_a_batch_come_in_several(engine: ShardedEngine, web: Web) -> None:
    for number in range(40):
        engine.submit(web.job(number % 8 + 1, f"large/{number}.jpg"))
    assert sum(len(answer(result).content) for result in drain(engine)) > 40 * 2_000_000


def test_what_is_not_taken_is_bounded_and_hinders_no_submission(web: Web) -> None:
    """Both directions of the pipes are full: the process that asks is busy, say with a slow disk."""
    large = [web.job(number % 20 + 1, f"large/{number}.jpg") for number in range(120)]
    with running() as engine:
        for each in large:
            engine.submit(each)
        assert engine.take(20.0)
        before = -1
        while before != (before := sum(web.asked.values())):
            time.sleep(1.0)
        assert before < len(large)  # 2.6 MB each: 64 MB wait here and there, and what was in flight
        began = time.monotonic()
        for number in range(5_000):
            engine.submit(web.job(number % 20 + 1, f"small/{number}.jpg"))
        assert time.monotonic() - began < 15.0
        end = time.monotonic() + 20
        while sum(web.asked.values()) < len(large) + 100:  # it goes on
            assert time.monotonic() < end
            engine.take(0.2)


def test_a_worker_that_is_killed_loses_nothing(web: Web) -> None:
    jobs = [web.job(host, f"{number}.jpg") for number in range(16) for host in range(1, 21)]
    results: list[Result] = []
    with running() as engine:
        for each in jobs:
            engine.submit(each)
        while not results:
            results += engine.take(1.0)
        os.kill(int(answer(results[0]).detail), signal.SIGKILL)
        results += drain(engine)
    assert Counter(result.job for result in results) == Counter(jobs)
    assert len(pids(results)) == 3
    del web.most[""]
    assert max(web.most.values()) <= 2 * SETTINGS.per_site  # what the dead one had asked for was still being answered
    assert each_of(jobs) <= set(web.asked)


def test_what_a_worker_said_before_it_was_killed_counts(web: Web, living: Living) -> None:
    """Also where its death is noticed because nothing can be told to it."""
    first, second = web.job(1, "first.jpg".rjust(20_000, "-")), web.job(1, "second.jpg")
    with running(settings=ONE) as engine:
        engine.submit(first)
        assert engine.take(0.0) == []  # it is told
        # What it says has the URL, and a body as long as that.
        wait_until(lambda: unread(engine) >= 2 * 20_000)
        [process] = living()
        process.kill()
        process.join()
        engine.submit(second)
        assert [result.job for result in drain(engine)] == [first, second]
    assert set(web.asked.values()) == {1}


def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced(web: Web, living: Living) -> None:
    with running() as engine:
        for process in living():
            process.kill()
            process.join()
        for host in range(1, 21):
            engine.submit(web.job(host, "1.jpg"))
        assert len(pids(drain(engine))) == 2


def test_a_worker_that_dies_while_it_starts_is_replaced(web: Web, tmp_path: Path) -> None:
    with running(partial(make_dead_once, tmp_path / "mark"), ONE) as engine:
        engine.submit(web.job(1, "1.jpg"))
        assert len(drain(engine)) == 1


def test_a_worker_that_dies_again_ends_the_run_with_a_sentence(web: Web) -> None:
    with running(settings=ONE) as engine:
        engine.submit(web.job(1, "die"))
        with pytest.raises(FewposeError, match=r"^a worker died twice \(.* exit code 1\).*give the same command again"):
            drain(engine)
    with running(make_dead, ONE) as engine:
        engine.submit(web.job(1, "1.jpg"))
        with pytest.raises(FewposeError, match="died twice"):
            drain(engine)


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("fault", ZeroDivisionError, "seven"),
        ("system", PermissionError, "[Errno 13] Permission denied: 'seven'"),  # not taken for the end of the pipe
        ("stubborn", RuntimeError, "Stubborn: seven: it is odd"),  # pickle can't bring it over
    ],
)
def test_a_fault_in_fetch_ends_the_run(web: Web, path: str, kind: type[Exception], said: str) -> None:
    with running(settings=ONE) as engine:
        engine.submit(web.job(1, path))
        with pytest.raises(kind) as caught:
            drain(engine)
    assert str(caught.value) == said
    assert "counting.py" in caught.value.__notes__[0]


def test_a_fault_of_the_thread_that_listens_ends_the_run(web: Web) -> None:
    with running(settings=ONE) as engine:
        engine.submit(replace(web.job(1, "1.jpg"), via=Unreadable()))
        with pytest.raises(ValueError, match="'nine'"):
            drain(engine)


def test_a_fault_before_the_first_question_ends_all_processes(living: Living) -> None:
    with pytest.raises(ZeroDivisionError, match="eight"):
        engine_of(make_nothing, SETTINGS, 2)
    assert living() == []


def test_where_no_process_can_be_started_the_user_is_told_what_works() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))
    try:
        with pytest.raises(FewposeError, match=r"no process can be started \(Too many open files\): --workers 1 needs"):
            engine_of(make_fetch, SETTINGS, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_stop_takes_no_longer_than_a_second_and_leaves_no_process(web: Web, living: Living) -> None:
    with running() as engine:
        for host in range(1, 61):  # so many that either worker has enough of them, whatever their ports
            engine.submit(web.job(host, "hang"))
        while (counts := engine.counts()).in_flight < 16:
            assert engine.take(0.1) == []
        assert counts.slowest is not None
        assert len(living()) == 2
        began = time.monotonic()
        engine.stop()
        assert time.monotonic() - began < BRIEFLY
        assert living() == []
        assert engine.take(9.0) == []
        engine.stop()
        assert time.monotonic() - began < BRIEFLY


def test_a_worker_imports_no_more_than_it_needs() -> None:
    with running(partial(make_report, Settings()), ONE) as engine:
        job = Job("http://a.org/", "http://a.org/")
        engine.submit(job)
        modules = answer(drain(engine)[0]).detail.split()
    assert {"numpy", "PIL", "requests"} <= set(modules)
    assert {"pandas", "pyarrow", "scipy", "sklearn", "torch", "rich", "typer", "pytest"} & set(modules) == set()


def test_one_worker_is_threads_of_this_process() -> None:
    assert engine_for(WorkerSettings(workers=1)) is on_threads
    assert engine_for(WorkerSettings(workers=3)) is not on_threads


def test_a_download_over_processes_ends_as_one_on_threads(tmp_path: Path, living: Living) -> None:
    """Good links, dead ones, and redirects that cross from one worker's sites to another's. Ray's test has the same."""
    kinds = ("good", "404", "html", "truncated", "redirect-elsewhere")
    settings = Settings(connections=16, per_site=2, spacing=0.0, allow_private=True)
    with serving(latency=0.01) as web:
        lines = [
            f"{kind}/{host}-{n}.jpg\t{web.url(kind, 100 * host + n, f'127.0.{host}.1')}"
            for host in range(1, 9)
            for kind in kinds
            for n in range(4)
        ]
        links = tmp_path / "links.txt"
        links.write_text("\n".join(lines))
        download(links, tmp_path / "threads", settings=settings, make_engine=on_threads)
        web.reset()
        summary = download(links, tmp_path / "processes", settings=settings, make_engine=on_processes)
        counts = web.counts()
    assert (summary.asked, summary.left) == (len(lines), 0)
    assert summary.kept == 2 * 8 * 4
    assert max(host["most_requests"] for host in counts["hosts"].values()) <= settings.per_site
    for table in ("images.parquet", "rejects.parquet", "links.parquet"):
        assert (tmp_path / "processes" / table).read_bytes() == (tmp_path / "threads" / table).read_bytes()
    assert living() == []


# The command, with its processes: as a terminal has them, in a group that hears Ctrl-C

# What is started in the background ignores Ctrl-C, and so does all that it starts; a person's doesn't.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from curate.cli import app
if __name__ == "__main__":
    app()
"""
WORKER = "spawn_main"  # in the command line of a spawned process


@pytest.fixture
def command(web: Web, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`curate download` by its default engine, of links that are never answered; at its end nothing of it is left."""
    program, links = tmp_path / "program.py", tmp_path / "links.txt"
    program.write_text(PROGRAM)
    links.write_text("".join(f"{web.job(host, 'hang').url}\n" for host in range(1, 61)))
    words: list[str | Path] = [sys.executable, program, "download", links, tmp_path / "collection", "--allow-private"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as process:
        yield process
        if group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def group(leader: int) -> dict[int, str]:
    """The command lines of a process group, by pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(number) == leader and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it just ended
            continue
    return found


def workers(leader: int) -> dict[int, str]:
    """The files that workers have mapped, by pid."""
    pids = [pid for pid, command in group(leader).items() if WORKER in command]
    return {pid: Path(f"/proc/{pid}/maps").read_text() for pid in pids}


def loading(leader: int) -> bool:
    """Whether a worker is about to import what it needs."""
    return any("/numpy/" in files for files in workers(leader).values())


@on_linux
def test_workers_of_the_command_load_no_tables(command: subprocess.Popen[str], web: Web) -> None:
    wait_until(lambda: web.asked)
    loaded = workers(command.pid).values()
    assert len(loaded) == min(2, os.cpu_count() or 1)
    assert all("/numpy/" in files for files in loaded)
    assert not any("/pandas/" in files or "/pyarrow/" in files for files in loaded)
    assert "/pandas/" in Path(f"/proc/{command.pid}/maps").read_text()


@on_linux
@pytest.mark.parametrize("moment", ["starting", "asking"])
def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(command: subprocess.Popen[str], web: Web, moment: str) -> None:
    wait_until(lambda: web.asked if moment == "asking" else loading(command.pid))
    os.killpg(command.pid, signal.SIGINT)
    began = time.monotonic()
    said = command.communicate()[0]
    assert time.monotonic() - began < 8
    wait_until(lambda: not group(command.pid), seconds=2.0)  # the last is multiprocessing's own, which follows
    assert command.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said


@on_linux
@pytest.mark.parametrize("moment", ["starting", "asking"])
def test_where_the_command_is_killed_its_processes_end_by_themselves(
    command: subprocess.Popen[str], web: Web, moment: str
) -> None:
    wait_until(lambda: web.asked if moment == "asking" else loading(command.pid))
    command.kill()
    command.wait()
    wait_until(lambda: not group(command.pid), seconds=3.0)


@on_linux
def test_a_worker_that_starts_hears_no_ctrl_c(web: Web) -> None:
    """Nor do we lose ours: it comes when the worker has been started."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    with without_ctrl_c():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before
