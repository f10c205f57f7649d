"""The engine on a real cluster of two nodes, against a real server that counts."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.web import serving
from curate.download.engines.shards import ShardedEngine, on_ray
from curate.download.run import download, engine_for, on_threads
from curate.download.web.job import Answer, Job, Result
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.foundation.errors import FewposeError
from curate.workers.settings import WorkerSettings
from tests.curate.download.counting import BRIEFLY, Web, answer, counting, drain, each_of

ray = pytest.importorskip("ray")

SETTINGS = Settings(connections=16, per_site=3, spacing=0.0)


def make_fetch() -> Callable[[], Any]:
    """A small one; who fetched is in the answer. It goes to the workers by value: they know nothing of tests."""

    def make() -> Any:
        import http.client
        import os
        from urllib.parse import urlsplit

        import ray

        class Cancellation:
            def cancel(self, reason: Outcome) -> None:
                pass

        node = ray.get_runtime_context().get_node_id()

        def fetch(job: Job, _: Cancellation) -> Answer:
            parts = urlsplit(job.target)
            if "fault" in parts.path:
                raise ZeroDivisionError("seven")
            if "die" in parts.path:
                os._exit(1)
            connection = http.client.HTTPConnection(parts.netloc, timeout=30.0)
            try:
                connection.request("GET", parts.path)
                return Answer(Outcome.KEPT, f"{node} {os.getpid()}", content=connection.getresponse().read())
            finally:
                connection.close()

        return fetch, Cancellation

    return make


@pytest.fixture
def web() -> Iterator[Web]:
    with counting() as web:
        yield web


@pytest.fixture
def engine(cluster: None) -> Iterator[ShardedEngine]:
    engine = on_ray(make_fetch(), SETTINGS)
    yield engine
    engine.stop()


@pytest.mark.slow
def test_both_nodes_work_and_every_limit_holds_across_them(engine: ShardedEngine, web: Web) -> None:
    jobs = [web.job(host, f"{number}.jpg") for number in range(20) for host in range(1, 21)]
    jobs += [web.job(1, f"more/{number}.jpg") for number in range(60)]
    for each in jobs:
        engine.submit(each)
    assert engine.counts().waiting == len(jobs)
    results = drain(engine)
    assert Counter(result.job for result in results) == Counter(jobs)
    assert all(answer(result).content.decode() in result.job.url for result in results)
    assert len({answer(result).detail.split()[0] for result in results}) == 2
    workers = defaultdict(set)
    for result in results:
        workers[result.job.url.split("/")[2]].add(answer(result).detail)
    assert {len(each) for each in workers.values()} == {1}  # a site is one worker's
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


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(engine: ShardedEngine, web: Web) -> None:
    jobs = [web.job(host, f"{number}.jpg") for number in range(16) for host in range(1, 21)]
    for each in jobs:
        engine.submit(each)
    results: list[Result] = []
    while not results:
        results += engine.take(1.0)
    first = answer(results[0]).detail.split()[1]
    os.kill(int(first), signal.SIGKILL)
    results += drain(engine)
    assert Counter(result.job for result in results) == Counter(jobs)
    assert len({answer(result).detail for result in results}) == 3
    del web.most[""]
    assert max(web.most.values()) <= 2 * SETTINGS.per_site  # what the dead one had asked for was still being answered
    assert each_of(jobs) <= set(web.asked)


def test_a_worker_that_dies_again_ends_the_run_with_a_sentence(engine: ShardedEngine, web: Web) -> None:
    engine.submit(web.job(1, "die"))
    with pytest.raises(FewposeError, match=r"died twice.*give the same command again"):
        drain(engine)


def test_a_fault_in_fetch_ends_the_run(engine: ShardedEngine, web: Web) -> None:
    engine.submit(web.job(1, "fault"))
    with pytest.raises(ZeroDivisionError, match="seven"):
        drain(engine)


def test_stop_takes_no_longer_than_a_second(engine: ShardedEngine, web: Web) -> None:
    for host in range(1, 61):  # so many that either worker has enough of them, whatever their ports
        engine.submit(web.job(host, "hang"))
    while (counts := engine.counts()).in_flight < 16:
        assert engine.take(0.1) == []
    assert counts.slowest is not None
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < BRIEFLY
    assert engine.take(9.0) == []
    assert time.monotonic() - began < BRIEFLY


@pytest.mark.slow
def test_without_an_address_a_quiet_ray_is_started_and_ended(tmp_path: Any) -> None:
    code = """
from curate.download.web.job import Answer, Job
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings
from curate.download.engines.shards import on_ray

class Cancellation:
    def cancel(self, reason):
        pass

if __name__ == "__main__":
    engine = on_ray(lambda: (lambda job, _: Answer(Outcome.GONE), Cancellation), Settings())
    engine.submit(Job("http://a.org/", "http://a.org/"))
    results = engine.take(60.0)
    engine.stop()
    import ray
    print(results[0].answer.outcome, ray.is_initialized())
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("gone False\n", "", 0)


@pytest.mark.slow
def test_a_download_over_the_cluster_ends_as_one_on_threads(cluster: None, tmp_path: Path) -> None:
    """Good links, dead ones, and redirects that cross from one worker's sites to another's."""
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
        summary = download(links, tmp_path / "ray", settings=settings, make_engine=engine_for(WorkerSettings("ray")))
        counts = web.counts()
    assert (summary.asked, summary.left) == (len(lines), 0)
    assert summary.kept == 2 * 8 * 4
    assert max(host["most_requests"] for host in counts["hosts"].values()) <= settings.per_site
    for table in ("images.parquet", "rejects.parquet", "links.parquet"):
        assert (tmp_path / "ray" / table).read_bytes() == (tmp_path / "threads" / table).read_bytes()
